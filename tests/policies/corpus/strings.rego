package mandate

default allow := false

said := lower(object.get(input, ["context", "input", "text"], ""))

allow if {
	not contains(said, "password")
	not endswith(trim_space(said), "!")
}

deny contains upper(substring(said, 0, 5)) if startswith(said, "please")

deny contains word if {
	some word in split(said, " ")
	count(word) > 8
}

deny contains trim(said, " .!?") if indexof(said, "@") >= 0

deny contains strings.reverse(trim_prefix(said, "the ")) if count(said) < 12

deny contains strings.replace_n({"a": "4", "e": "3"}, said) if regex.match(`^[a-z ]+$`, said)

deny contains format_int(count(said), 16)

deny contains sprintf("%s %d %x %v %%", [said, count(said), count(said), {"b": [1, "x"], "a": null}])
