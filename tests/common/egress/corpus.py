"""URLs that must lead nowhere, with the address that a careless reader would call; and public ones.

Collected from the special-purpose address registries and from the tricks that published bypasses
used: other notations of an address, names that resolve inward, parsers that disagree.
"""

LOOPBACK = "127.0.0.1"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HOSTILE_ADDRESSES = _words("""
0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.1.2.3 10.255.255.255 100.64.0.1 100.100.100.200
100.127.255.254 127.0.0.1 127.0.0.2 127.1.1.1 127.255.255.254 168.63.129.16 169.254.0.1
169.254.169.253 169.254.169.254 169.254.170.2 172.16.0.1 172.17.0.1 172.31.255.255 192.0.0.1
192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.1.254 192.168.255.255
198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 224.0.0.251 233.252.0.1
239.255.255.250 240.0.0.1 250.1.2.3 255.255.255.255 :: ::1 ::2 ::127.0.0.1 ::a00:1
::169.254.169.254 ::ffff:0:7f00:1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1
::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:192.168.1.1 ::ffff:0.0.0.0 ::ffff:100.64.0.1
::ffff:192.0.0.192 ::ffff:224.0.0.1 0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:ffff:127.0.0.1
64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::192.168.0.1
64:ff9b::168.63.129.16 64:ff9b:1::7f00:1 64:ff9b:1:fffe::10.0.0.1 100::1 100:0:0:1::1 2001::1
2001:0:7f00:1::1 2001:0:4136:e378:8000:63bf:80ff:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::1 2002:c0a8:101::1 2606:4700::5efe:7f00:1
2606:4700::200:5efe:a00:1 3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fd20:ce::254 fe80::1
fe80::a9fe:a9fe febf::1 fec0::1 ff01::1 ff02::1 ff05::2 ff0e::1
""")

HOSTILE_NAMES = {
    "localtest.example.com": LOOPBACK,
    "127.0.0.1.nip.example.com": LOOPBACK,
    "7f000001.rebind.example.net": LOOPBACK,
    "loop6.example.com": "::1",
    "mapped.example.com": "::ffff:127.0.0.1",
    "nat64.example.com": "64:ff9b::7f00:1",
    "tunnel.example.com": "2002:7f00:1::1",
    "zoned.example.com": "fe80::1%eth0",
    "zoned2.example.com": "2003::1%eth0",
    "metadata.example.com": "169.254.169.254",
    "metadata6.example.com": "fd00:ec2::254",
    "intranet.example.com": "10.0.0.5",
    "router.example.org": "192.168.1.1",
    "cluster.example.org": "100.64.3.4",
    "wire.example.org": "168.63.129.16",
    "oracle.example.org": "192.0.0.192",
    "nowhere.example.org": "0.0.0.0",
    "xn--bcher-kva.example.org": "172.16.9.9",
    "many.example.org": "224.0.0.1",
}

HOSTILE_FORMS = {
    # Names that are private whatever they resolve to.
    "http://localhost/": LOOPBACK,
    "http://LOCALHOST/": LOOPBACK,
    "http://localhost:8000/admin": LOOPBACK,
    "http://acme.localhost/": LOOPBACK,
    "http://localhost.localdomain/": LOOPBACK,
    "http://ip6-localhost/": "::1",
    "http://metadata/": "169.254.169.254",
    "http://metadata.google.internal/computeMetadata/v1/": "169.254.169.254",
    "http://kubernetes.default.svc.cluster.local/": "10.96.0.1",
    "http://redis:6379/": "172.18.0.2",
    "http://vault.corp/": "10.0.0.9",
    "http://router.lan/": "192.168.0.1",
    "http://printer.local/": "192.168.0.7",
    "http://box.home.arpa/": "192.168.0.8",
    "http://hidden.onion/": LOOPBACK,
    # Trailing dots: the same host to DNS, another one to a list of names.
    "http://localhost./": LOOPBACK,
    "http://127.0.0.1./": LOOPBACK,
    "http://metadata.google.internal./": "169.254.169.254",
    "http://intranet.example.com./": "10.0.0.5",
    # IPv4 as inet_aton reads it: decimal, octal, hexadecimal, short, overflowing.
    "http://2130706433/": LOOPBACK,
    "http://017700000001/": LOOPBACK,
    "http://0x7f000001/": LOOPBACK,
    "http://0X7F000001/": LOOPBACK,
    "http://0x7f.0.0.1/": LOOPBACK,
    "http://0x7f.0x0.0x0.0x1/": LOOPBACK,
    "http://0177.0.0.1/": LOOPBACK,
    "http://0177.0.0.01/": LOOPBACK,
    "http://127.000.000.001/": LOOPBACK,
    "http://127.0.0.01/": LOOPBACK,
    "http://127.1/": LOOPBACK,
    "http://127.0.1/": LOOPBACK,
    "http://0/": "0.0.0.0",
    "http://0x0/": "0.0.0.0",
    "http://00000000000/": "0.0.0.0",
    "http://2852039166/": "169.254.169.254",
    "http://0xa9fea9fe/": "169.254.169.254",
    "http://0xa9.0xfe.0xa9.0xfe/": "169.254.169.254",
    "http://0251.0376.0251.0376/": "169.254.169.254",
    "http://169.254.43518/": "169.254.169.254",
    "http://10.1/": "10.0.0.1",
    "http://383.0.0.1/": LOOPBACK,
    "http://4294967297/": "0.0.0.1",
    "http://127.0.0.1.0x/": LOOPBACK,
    # IPv6 that isn't quite.
    "http://[::1%25lo]/": "::1",
    "http://[fe80::1%25eth0]/": "fe80::1",
    "http://[fe80::1%eth0]/": "fe80::1",
    "http://[::1]:8000/": "::1",
    "http://[::]:8000/": "::",
    "http://[127.0.0.1]/": LOOPBACK,
    "http://[v1.127.0.0.1]/": LOOPBACK,
    "http://[::1/": "::1",
    "http://::1/": "::1",
    "http://[[::1]]/": "::1",
    # Other letters and digits for the same host.
    "http://①②⑦.⓪.⓪.①/": LOOPBACK,
    "http://１２７.０.０.１/": LOOPBACK,
    "http://127。0。0。1/": LOOPBACK,
    "http://127．0．0．1/": LOOPBACK,
    "http://127｡0｡0｡1/": LOOPBACK,
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/": LOOPBACK,
    "http://ｌｏｃａｌｈｏｓｔ/": LOOPBACK,
    "http://loca\u00adlhost/": LOOPBACK,
    "http://local\u200dhost/": LOOPBACK,
    "http://localhoſt/": LOOPBACK,
    "http://%31%32%37.0.0.1/": LOOPBACK,
    "http://127.0.0.1%00.example.com/": LOOPBACK,
    "http://%6c%6f%63%61%6c%68%6f%73%74/": LOOPBACK,
    "http://localhost%2eexample.com/": LOOPBACK,
    "http://127.0.0.1%2f.example.com/": LOOPBACK,
    # Two readers, two hosts.
    "http://example.com@127.0.0.1/": LOOPBACK,
    "http://user:secret@10.0.0.1/": "10.0.0.1",
    "http://@127.0.0.1/": LOOPBACK,
    "http://127.0.0.1@/": LOOPBACK,
    "http://127.0.0.1:80@example.com/": LOOPBACK,
    "http://example.com:80@127.0.0.1:80/": LOOPBACK,
    "http://example.com\\@127.0.0.1/": LOOPBACK,
    "http://127.0.0.1\\@example.com/": LOOPBACK,
    "http://example.com&@127.0.0.1#@example.org/": LOOPBACK,
    "http://127.0.0.1:80:80/": LOOPBACK,
    "http://127.0.0.1 .example.com/": LOOPBACK,
    "http://127.0.0.1\t/": LOOPBACK,
    "http://127.0.0.1\r\nHost: example.com/": LOOPBACK,
    "http://\n127.0.0.1/": LOOPBACK,
    " http://127.0.0.1/": LOOPBACK,
    "http:\\\\127.0.0.1\\": LOOPBACK,
    "http:/127.0.0.1/": LOOPBACK,
    "http:///127.0.0.1/": LOOPBACK,
    "http:127.0.0.1/": LOOPBACK,
    "//127.0.0.1/": LOOPBACK,
    "127.0.0.1/": LOOPBACK,
    "localhost:8000/": LOOPBACK,
    "http://": LOOPBACK,
    "http://.127.0.0.1/": LOOPBACK,
    "http://-.example.com/": LOOPBACK,
    "http://a..example.com/": LOOPBACK,
    "http://_internal.example.com/": "10.0.0.5",
    "http://" + "a" * 64 + ".example.com/": LOOPBACK,
    "http://" + "a." * 130 + "example.com/": LOOPBACK,
    "http://127.0.0.1/" + "a" * 2100: LOOPBACK,
    # Schemes that are no business of ours.
    "file:///etc/passwd": LOOPBACK,
    "file://127.0.0.1/etc/passwd": LOOPBACK,
    "ftp://127.0.0.1/": LOOPBACK,
    "gopher://127.0.0.1:6379/_FLUSHALL": LOOPBACK,
    "dict://127.0.0.1:11211/stats": LOOPBACK,
    "ldap://127.0.0.1/": LOOPBACK,
    "ws://127.0.0.1/": LOOPBACK,
    "unix:///var/run/docker.sock": LOOPBACK,
    "jar:http://127.0.0.1!/": LOOPBACK,
    "data:text/html,hello": LOOPBACK,
    "javascript:alert(1)": LOOPBACK,
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info": LOOPBACK,
    # Ports where something else listens, also on public hosts.
    "http://127.0.0.1:22/": LOOPBACK,
    "http://127.0.0.1:6379/": LOOPBACK,
    "http://intranet.example.com:5432/": "10.0.0.5",
    "http://start.example.com:25/": LOOPBACK,
    "http://start.example.com:0/": LOOPBACK,
    "http://start.example.com:65536/": LOOPBACK,
    "http://start.example.com:-80/": LOOPBACK,
}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


HOSTILE: tuple[tuple[str, str], ...] = (
    *((f"http://{_host(address)}/", address) for address in HOSTILE_ADDRESSES),
    *((f"https://{_host(address)}/x?y=1", address) for address in HOSTILE_ADDRESSES[:12]),
    *((f"http://{name}/", address) for name, address in HOSTILE_NAMES.items()),
    *HOSTILE_FORMS.items(),
)

# What must stay reachable, each at an address next to a forbidden network where there is one.
PUBLIC_ADDRESSES = _words("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 93.184.215.14 100.63.255.255 100.128.0.1 126.255.255.255
128.0.0.1 151.101.1.195 168.63.129.15 169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1
191.255.255.255 192.0.1.1 192.0.3.1 192.88.98.1 192.167.255.255 192.169.0.1 198.17.255.255
198.20.0.1 198.51.99.255 203.0.112.255 203.0.114.1 223.255.255.254 2001:200::1
2001:4860:4860::8888 2003::1 2400:cb00::1 2606:4700:4700::1111 2620:fe::fe 2a00:1450:4001::5
2c0f:fb50::1 3ffe:ffff::1 64:ff9b::8.8.8.8 64:ff9b::5db8:d70e ::ffff:8.8.4.4 ::ffff:5db8:d70e
""")

PUBLIC_FORMS = _words("""
https://api.example.com/v1/things https://api.example.com:8443/mcp https://EXAMPLE.com/
https://a-b.example.co.uk/path https://xn--bcher-kva.example/ https://bücher.example/
https://3.example.com/ https://1password.example.com/ https://8.8.8.8/
https://[2606:4700:4700::1111]/ https://x.example.com/?next=http://127.0.0.1/
https://x.example.com/#@127.0.0.1/ https://x.example.com/@127.0.0.1/ http://hooks.example.com/in
http://hooks.example.com:8080/in http://9.255.255.255/ http://[2001:4860:4860::8888]:3000/
""")

PUBLIC: tuple[tuple[str, str], ...] = (
    *(
        (f"http{'s' if number % 2 else ''}://p{number}.example.com/", address)
        for number, address in enumerate(PUBLIC_ADDRESSES)
    ),
    *((url, "93.184.215.14") for url in PUBLIC_FORMS),
)
