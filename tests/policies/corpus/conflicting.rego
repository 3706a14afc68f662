package mandate

default allow := true

price := "low" if input.context.cost_micros < 5000

price := "high" if input.context.cost_micros > 1000

deny contains price if input.context.depth > 2
