package mandate

default allow := false

allow if {
	is_object(input.context)
	is_string(input.context.environment)
	is_number(input.context.cost_micros)
	is_array(input.context.lineage)
}

deny contains sprintf("%s is %s", [key, type_name(value)]) if some key, value in input.context

deny contains "null caller" if is_null(input.context.caller)

deny contains sprintf("%v", [sort([type_name(x) | some x in [1, "a", null, true, [1], {1}, {"a": 1}]])])

deny contains sprintf("%v", [sort([3, "b", null, false, {"z": 1}, [2], {"y": 2}, 1.5, "a", true])])

deny contains "order" if [1, 2] < [1, 3]

deny contains "order of kinds" if input.context.lineage > "text"
