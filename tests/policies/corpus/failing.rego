package mandate

default allow := true

deny contains "whole" if 100 % (input.context.depth - 3) == 0

deny contains "number" if to_number(object.get(input.context.input, "amount", "0")) > 10
