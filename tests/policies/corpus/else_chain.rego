package mandate

default allow := false

level := "free" if {
	input.context.cost_micros == 0
} else := "cheap" if {
	input.context.cost_micros < 1000
} else := "dear" if {
	input.context.cost_micros < 1000000
} else := "absurd"

allow if level in ["free", "cheap", "dear"]

require_approval contains level if level == "dear"

obligations := {"cap_cost_micros": cap} if cap := {"free": 0, "cheap": 1000, "dear": 1000000}[level]
