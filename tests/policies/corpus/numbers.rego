package mandate

default allow := false

cost := input.context.cost_micros

allow if cost % 2 == 0

allow if round(cost / 1000) == floor(cost / 1000)

deny contains sprintf("%v", [x]) if {
	some x in [cost + 1, cost - 1, cost * 3, floor(cost / 4), ceil(cost / 7), abs(0 - cost), (cost % 1000) * 0.5]
}

deny contains sprintf("%d", [sum(numbers.range(0, input.context.depth))])

deny contains sprintf("%d", [product([input.context.depth, 2, 3])])

deny contains sprintf("%v", [min([cost, 10, 7.5])])

deny contains "range" if cost in numbers.range_step(0, 100, 5)

deny contains sprintf("%v", [[bits.and(12, 10), bits.or(12, 10), bits.xor(12, 10), bits.lsh(1, 5), bits.rsh(32, 2), bits.negate(1)]])
