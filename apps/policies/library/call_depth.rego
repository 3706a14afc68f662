# title: Limit how deep agents call one another
# purpose: Denies calls between agents beyond a depth, and any call back into an agent that is already at work.
package mandate

default allow := true

most := 2

deny contains reason if {
	input.action.name == "agent.call"
	input.context.depth > most
	reason := sprintf("Agents call one another at most %d deep.", [most])
}

deny contains reason if {
	input.action.name == "agent.call"
	input.resource.agent in input.context.lineage
	reason := sprintf("%s is already at work in this run.", [input.resource.agent])
}
