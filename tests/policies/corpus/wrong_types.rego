package mandate

default allow := true

allow := input.context.caller if input.context.environment == "replay"

deny contains input.context.depth if input.context.depth > 3

obligations := {"cap_cost_micros": input.context.cost_micros}
