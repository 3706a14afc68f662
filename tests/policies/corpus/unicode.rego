package mandate

default allow := true

said := object.get(input.context.input, "text", "")

deny contains sprintf("%d", [count(said)])

deny contains substring(said, 1, 3)

deny contains strings.reverse(said)

deny contains sprintf("%v", [indexof(said, "ü")])

deny contains upper(said) if contains(said, "é")

deny contains sprintf("%v", [split(said, "")]) if count(said) < 10

deny contains sprintf("%d", [strings.count(said, "e")])
