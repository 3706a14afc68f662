package mandate

default allow := true

base := {"mask": ["input.card"], "cap_cost_micros": 500}

wanted := object.union(base, {"cap_cost_micros": 100}) if input.resource.annotations.destructive

wanted := base if not input.resource.annotations.destructive

obligations := object.filter(wanted, ["mask", "cap_cost_micros"])

require_approval contains sprintf("%v", [object.remove(input.resource.annotations, ["idempotent"])])

require_approval contains sprintf("%v", [sort(object.keys(input.subject))])

require_approval contains sprintf("%v", [object.get(input, ["context", "input", "amount"], "none")])

require_approval contains "subset" if object.subset(input.resource.annotations, {"read_only": true})

require_approval contains json.marshal(object.union_n([{"a": 1}, {"b": 2}, {"a": input.context.depth}]))
