/// Keys about what functions are granted beside upstreams.
extension Schema {
    static let keyValue = SchemaObject(title: "a namespace", keys: [
        SchemaKey("path", .file(mustExist: false), "Folder for its file, in a folder that exists. Default: `kv/NAME` in the state folder (`$STATE_DIRECTORY`, else `/var/lib/sluice` for root, else `~/.local/state/sluice`)."),
        SchemaKey("size", .size, "Largest size of its file, at least 128KiB; a put beyond it fails. Default 64MiB."),
        SchemaKey("max_value", .size, "Largest value, at most 25MiB. Default 1MiB."),
    ])

    static let secret = SchemaObject(title: "a secret", keys: [
        SchemaKey("file", .file(mustExist: false), "File whose text it is; one line break at the end does not count."),
        SchemaKey("env", .text(maximum: 256), "Variable of the gateway's environment."),
        SchemaKey("credential", .text(maximum: 256), "Name of a systemd credential (`LoadCredential=`)."),
        SchemaKey("test", .string, "What `sluice test` puts in its place. Default `test-NAME`."),
    ])

    /// Of a function.
    static let bindings = [
        SchemaKey("kv", .named(.name), "Namespaces it may use, by their name in `env`: `{SESSIONS: sessions}`."),
        SchemaKey("secrets", .list(.name), "Secrets it may read, as text in `env`; one that `secrets:` does not define is the systemd credential or else the variable of the environment of that name. They are hidden in its log lines and error messages."),
        SchemaKey("vars", .named(.string), "Plain texts in `env`."),
    ]
}
