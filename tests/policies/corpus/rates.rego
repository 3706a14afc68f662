package mandate

default allow := true

default rate := {"requests": 100, "seconds": 60}

rate := {"requests": 1, "seconds": 3600} if input.resource.annotations.destructive

obligations := {"limit_rate": [rate, {"requests": 1000, "seconds": 86400}], "mask": masked}

masked := {sprintf("%s.%s", [side, key]) |
	some side in ["input", "output"]
	some key in {"email", "iban"} | {name | some name, _ in input.context.input; startswith(name, "p")}
}
