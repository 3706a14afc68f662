package mandate

default allow := false

limits := {"live": {"member": [1, 2, 3], "admin": [10]}, "sandbox": {"member": [100], "viewer": []}}

allow if limits[input.context.environment][input.subject.role][_] > input.context.depth

deny contains sprintf("%s/%s", [environment, role]) if {
	some environment
	some role
	limits[environment][role][0] == input.context.depth
}

deny contains key if {
	some key in ["agent", "tool", "nothing"]
	not input.resource[key]
}

a.b.c := input.context.depth

a.b[name] := name if some name in {"x", "y"}

require_approval contains sprintf("%v", [a]) if a.b.c > 1
