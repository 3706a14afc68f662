# title: Mask personal fields
# purpose: Keeps the values of personal fields out of every record of a call, and of pages and logs.
package mandate

default allow := true

fields := {"email", "phone", "iban", "card_number"}

obligations := {"mask": {path |
	some field in fields
	some side in {"input", "output"}
	path := sprintf("%s.%s", [side, field])
}}
