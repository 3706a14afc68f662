package mandate

default allow := false

default within(_, _) := false

within(value, limits) if {
	value >= limits[0]
	value <= limits[1]
}

label(n) := "none" if n == 0

label(n) := "some" if {
	n > 0
	n < 3
}

label(n) := "many" if n >= 3

shape({"kind": kind, "size": [w, h]}) := sprintf("%s of %d", [kind, w * h])

allow if within(input.context.depth, [0, 3])

deny contains label(count(input.context.lineage))

deny contains shape({"kind": "box", "size": [input.context.depth, 2]})
