package mandate

default allow := true

lengths := {agent: count(agent) | some agent in input.context.lineage}

by_length[length] contains agent if some agent, length in lengths

longest := max([length | some length in lengths])

require_approval contains sprintf("%s has %d", [agent, longest]) if {
	some agent in by_length[longest]
}

obligations := {"mask": [path | some key, _ in input.context.input; path := sprintf("input.%s", [replace(key, " ", "_")])]}
