package mandate

default allow := true

calls := {
	"concierge": {"summarizer", "calculator"},
	"summarizer": {"echo"},
	"calculator": set(),
	"planner": {"concierge"},
}

deny contains sprintf("%s reaches echo", [input.resource.agent]) if {
	"echo" in graph.reachable(calls, {input.resource.agent})
}

deny contains sprintf("%v", [sort([agent | some agent in graph.reachable(calls, {input.resource.agent})])])
