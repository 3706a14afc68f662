# title: Ask before a first call to a new host
# purpose: Asks a person before a tool calls a host that your organization has not called before.
package mandate

default allow := true

require_approval contains reason if {
	input.action.name == "tool.call"
	input.context.host_is_new
	reason := sprintf("%s has not been called before.", [input.context.host])
}
