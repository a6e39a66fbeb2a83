/// Modules that code of other platforms imports by name.
let builtInModules = [
    // Cloudflare's base class of a Worker that is a class.
    "cloudflare:workers": "export class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }",
]
