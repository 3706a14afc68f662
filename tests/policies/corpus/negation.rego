package mandate

default allow := false

said := input.context.input.text

blocked contains agent if some agent in ["echo", "planner"]

is_long(value) if count(value) > 20

allow if not contains(said, "Password")

deny contains "quiet" if not startswith(input.context.input.text, "please") with input.context.depth as 2

deny contains "unblocked" if not blocked[input.resource.agent]

deny contains "not dear" if not input.context.cost_micros > 1000

deny contains "not the same" if not lower(input.context.input.text) == upper(input.subject.id)

deny contains "other role" if not input.subject.role == "owner"

deny contains "no host" if not input.context.host

deny contains "short" if not is_long(input.context.input.text)

deny contains "untagged" if {
	not "pci" in input.resource.project.tags; not input.resource.project.tags[5]
}

deny contains "neither" if not [input.context.caller, said] == ["echo", ""]

deny contains "few" if not count([a | some a in input.context.lineage; not endswith(a, input.resource.tool)]) > 1

deny contains sprintf("%s isn't it", [agent]) if {
	some agent in input.context.lineage
	not agent == input.resource.agent
	not startswith(agent, substring(input.resource.agent, 0, 1))
}

kind := "called" if {
	not is_null(input.context.caller)
} else := "deep" if not input.context.depth < 3

deny contains kind

require_approval contains reason if {
	every agent in input.context.lineage {
		not agent == input.context.caller
		not count(agent) < input.context.depth + 2
	}
	reason := "every"
}

deny contains "said something else" if not said == input.subject.id

deny contains "nobody said it" if not blocked[said] == "echo"
