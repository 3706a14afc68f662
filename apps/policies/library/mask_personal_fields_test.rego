package mandate_test

import data.mandate

test_both_sides_are_masked if {
	"input.iban" in mandate.obligations.mask with input as {}
	"output.email" in mandate.obligations.mask with input as {}
	count(mandate.obligations.mask) == 8 with input as {}
}
