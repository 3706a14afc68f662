package mandate

default allow := false

allow if {
	every tag in input.resource.project.tags {
		not startswith(tag, "x-")
	}
	every key, value in input.resource.annotations {
		is_boolean(value)
		key != ""
	}
}

deny contains sprintf("%d is %s", [index, agent]) if {
	some index, agent in input.context.lineage
	agent == input.resource.agent
}

deny contains sprintf("%s twice", [agent]) if {
	some i, j
	agent := input.context.lineage[i]
	agent == input.context.lineage[j]
	i < j
}
