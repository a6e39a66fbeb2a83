import Telemetry

/// The dashboard: one page, its style and its script, from the folder `Dashboard`.
enum Dashboard {
    static var page: AdminResponse { file("page", "text/html; charset=utf-8") }
    static var style: AdminResponse { file("style", "text/css; charset=utf-8") }
    static var script: AdminResponse { file("app", "text/javascript; charset=utf-8") }

    /// Nothing but these three files is ever loaded, and nobody may put the page into a frame.
    private static let policy =
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

    private static func file(_ name: String, _ type: String) -> AdminResponse {
        for file in EmbeddedText.files where "\(file.name)" == name {
            return AdminResponse(type: type, body: file.text, fields: policy)
        }
        return .problem(404, "Not Found", "this build has no \(name)")
    }
}

extension AdminRoute {
    /// The API as an OpenAPI 3.1 description, from the table that dispatches it.
    static func description(version: String) -> String {
        JSONBody.object { json in
            json.field("openapi", "3.1.0")
            json.beginObject("info")
            json.field("title", "Sluice admin API")
            json.field("version", version)
            json.field(
                "description",
                "On the control socket every caller is the gateway's own user and may do everything; on the admin address a bearer token says what.")
            json.endObject()
            json.beginObject("components")
            json.beginObject("securitySchemes")
            json.beginObject("token")
            json.field("type", "http")
            json.field("scheme", "bearer")
            json.endObject()
            json.endObject()
            json.endObject()
            json.beginObject("paths")
            for path in Set(Supervisor.adminRoutes.map(\.path)).sorted() {
                json.beginObject(path)
                for route in Supervisor.adminRoutes where route.path == path { route.describe(&json) }
                json.endObject()
            }
            json.endObject()
        }
    }

    private func describe(_ json: inout JSONLineWriter) {
        json.beginObject(method.rawValue.lowercased())
        json.field("summary", summary)
        json.field("x-role", role.name)
        json.beginArray("security")
        if role != .anyone {
            json.beginObject()
            json.beginArray("token")
            json.endArray()
            json.endObject()
        }
        json.endArray()
        json.beginObject("responses")
        for (status, words) in answers {
            json.beginObject(status)
            json.field("description", words)
            json.endObject()
        }
        json.endObject()
        json.endObject()
    }

    private var answers: [(String, String)] {
        var answers = [("200", "Done, or what was asked for.")]
        if role != .anyone { answers += [("401", "A token is needed."), ("403", "The token's role is not enough, or the request came from another site.")] }
        if path == "/v1/reload" { answers.append(("422", "The configuration has mistakes; nothing was changed.")) }
        return answers
    }
}
