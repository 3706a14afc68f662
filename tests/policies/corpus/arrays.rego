package mandate

default allow := true

lineage := input.context.lineage

require_approval contains sprintf("%v", [array.concat(lineage, ["end"])])

require_approval contains sprintf("%v", [array.slice(lineage, 1, 3)])

require_approval contains sprintf("%v", [array.reverse(lineage)])

require_approval contains sprintf("%v", [lineage[count(lineage) - 1]])

require_approval contains sprintf("%v", [indexof_n(concat("", lineage), "e")])

require_approval contains sprintf("%v", [strings.any_prefix_match(lineage, ["con", "x"])])

require_approval contains sprintf("%v", [strings.any_suffix_match(lineage, {"zer"})])

require_approval contains sprintf("%v", [union({{1}, {input.context.depth}})])

require_approval contains sprintf("%v", [intersection({{1, 2}, {input.context.depth, 2}})])
