package mandate

default allow := true

texts contains value if {
	walk(input.context.input, [_, value])
	is_string(value)
}

paths contains concat("/", [sprintf("%v", [part]) | some part in path]) if {
	walk(input.resource, [path, value])
	value == true
}

deny contains text if {
	some text in texts
	count(text) > 30
}

require_approval contains path if some path in paths

require_approval contains json.marshal(json.filter(input.resource, ["agent", "project/slug"]))

require_approval contains json.marshal(json.remove(input.resource, ["annotations", "project"]))

require_approval contains json.marshal(json.patch({"a": {"b": 1}}, [{"op": "add", "path": "/a/c", "value": input.context.depth}, {"op": "remove", "path": "/a/b"}]))
