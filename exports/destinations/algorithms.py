"""The SSH algorithms that Muster takes part in: no SHA-1 signature, no CBC, no DSA, no GSS.

A closed list of our own: a newer library may offer more, and an older server gets no weaker one.
"""

HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group-exchange-sha256",
)
# AES-GCM first: with the processor's own instructions it is the fastest.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_OF_KEY_TYPE = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


def host_key_algorithms(pinned_types: tuple[str, ...]) -> list[str]:
    """Return the algorithms, those of the pinned keys first.

    The others follow, so that a server that has lost its key shows the new one and is told apart from a broken one.
    """
    first = [name for key_type in pinned_types for name in _OF_KEY_TYPE.get(key_type, (key_type,))]
    known = [name for name in first if name in HOST_KEY_ALGORITHMS]
    return list(dict.fromkeys([*known, *HOST_KEY_ALGORITHMS]))
