# title: Cap what one call may cost
# purpose: Stops a call at $0.50, and asks a person before a call that may cost more than $0.10.
package mandate

default allow := true

cap_micros := 500000

ask_above_micros := 100000

obligations := {"cap_cost_micros": cap_micros}

require_approval contains reason if {
	input.context.cost_micros > ask_above_micros
	input.context.cost_micros <= cap_micros
	cents := ceil(input.context.cost_micros / 10000)
	reason := sprintf("This call may cost $%d.%02d.", [floor(cents / 100), cents % 100])
}

deny contains "This call may cost more than one call is allowed to." if {
	input.context.cost_micros > cap_micros
}
