/// Keys about what functions are granted beside upstreams.
extension Schema {
    static let keyValue = SchemaObject(title: "a namespace", keys: [
        SchemaKey("path", .file(mustExist: false), "Folder for its file, in a folder that exists. Default: `kv/NAME` in the state folder (`$STATE_DIRECTORY`, else `/var/lib/sluice` for root, else `~/.local/state/sluice`)."),
        SchemaKey("size", .size, "Largest size of its file, at least 128KiB; a put beyond it fails. Default 64MiB."),
        SchemaKey("max_value", .size, "Largest value, at most 25MiB. Default 1MiB."),
        SchemaKey("redis", .text(maximum: 1024), "Keep it in a Redis that several gateways share, not on this disk: `redis://host:port/database`, `rediss://...` with TLS, or `unix:/path`. Without a password: that is a secret."),
        SchemaKey("prefix", .text(maximum: 256), "What its keys in Redis begin with. Default `sluice:NAME:`."),
        SchemaKey("timeout", .time, "For one request to Redis, and for a connection to it. Default 500ms."),
        SchemaKey("user", .text(maximum: 256), "User for Redis. Default: none, the password alone."),
        SchemaKey("password", .name, "Secret with the password for Redis."),
        SchemaKey("ca", .file(mustExist: true), "PEM file of the authorities that sign the certificate of a `rediss://` server. Default: the system's."),
    ])

    static let secret = SchemaObject(title: "a secret", keys: [
        SchemaKey("file", .file(mustExist: false), "File whose text it is; one line break at the end does not count."),
        SchemaKey("env", .text(maximum: 256), "Variable of the gateway's environment."),
        SchemaKey("credential", .text(maximum: 256), "Name of a systemd credential (`LoadCredential=`)."),
        SchemaKey("test", .string, "What `sluice test` puts in its place. Default `test-NAME`."),
    ])

    static let key = SchemaObject(title: "a key", keys: [
        SchemaKey("secret", .name, required: true, "Secret it is made of; one that `secrets:` does not define is found by its name."),
        SchemaKey("format", .choice(Function.KeyBinding.Format.allCases.map(\.rawValue)), "What the secret is: `raw` (default), the bytes of its text; `base64` of bytes; `pem`, a PUBLIC KEY or PRIVATE KEY; `jwk`."),
        SchemaKey("algorithm", .choice(Function.KeyBinding.algorithms), required: true, "What it is for."),
        SchemaKey("hash", .choice(Function.KeyBinding.hashes), "Of HMAC and RSA."),
        SchemaKey("curve", .choice(Function.KeyBinding.curves), "Of ECDSA and ECDH."),
        SchemaKey("usages", .list(.choice(Function.KeyBinding.allUsages)), required: true, "What the function may do with it."),
    ])

    /// Of a function.
    static let bindings = [
        SchemaKey("kv", .named(.name), "Namespaces it may use, by their name in `env`: `{SESSIONS: sessions}`."),
        SchemaKey("secrets", .list(.name), "Secrets it may read, as text in `env`; one that `secrets:` does not define is the systemd credential or else the variable of the environment of that name. They are hidden in its log lines and error messages."),
        SchemaKey("keys", .named(.object(key)), "Secrets it may use as a `CryptoKey` in `env` without ever seeing them, by their name there."),
        SchemaKey("egress", .list(.text(maximum: 300)), "Hosts outside that `fetch(url)` may ask: `api.example.com` (https), `*.example.com`, `https://host:8443`, `http://host:8080`. Private addresses are refused after the name is looked up, see the top-level `egress`."),
        SchemaKey("lists", .list(.name), "Lists that `Azion.networkList.contains(name, value)` may be asked about."),
        SchemaKey("vars", .named(.string), "Plain texts in `env`."),
    ]
}
