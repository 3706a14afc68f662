package mandate

default allow := true

said := object.get(input.context.input, "text", "")

require_approval contains base64.encode(said)

require_approval contains base64url.encode_no_pad(said)

require_approval contains hex.encode(said)

require_approval contains urlquery.encode(said)

require_approval contains urlquery.encode_object({"q": said})

require_approval contains sprintf("%v", [urlquery.decode_object("a=1&b=2&a=3")])

deny contains "not the same" if base64.decode(base64.encode(said)) != said

deny contains "not the same" if json.unmarshal(json.marshal(input.context)) != input.context

deny contains "not the same" if hex.decode(hex.encode(said)) != said

deny contains "no JSON" if not json.is_valid(json.marshal(input))
