import Isolates
import Testing

@Suite struct ModuleTests {
    private func failure(_ files: [String: String]) throws -> JSError? {
        try Rig().run(files: files).result.error
    }

    @Test func importsOfScriptsAndJSONWork() throws {
        let rig = try Rig()
        let result = rig.run(files: [
            "/h/main.js": """
                import { two } from './lib/a.js';
                import config from './config.json' assert { type: 'json' };
                import * as shared from 'shared';
                export default () => two + config.n + shared.one;
                """,
            "/h/lib/a.js": "import { one } from '../../h/lib/b.js'; export const two = one + 1;",
            "/h/lib/b.js": "export const one = 1; import './a.js';",
            "/h/config.json": #"{"n": 40}"#,
            "shared": "export const one = 100;",
        ])
        #expect(result.result.int == 142)
    }

    @Test func aSyntaxErrorHasPositionAndSourceLine() throws {
        let error = try failure(["/h/main.js": "import './b.js';", "/h/b.js": "const ok = 1;\nconst bad = ;\n"])
        #expect(error?.description == "/h/b.js:2:13: SyntaxError: Unexpected token ';'")
        #expect(error?.sourceLine == "const bad = ;")
    }

    @Test func aMissingExportIsReportedAtTheImport() throws {
        let error = try failure(["/h/main.js": "\nimport { no } from './b.js';", "/h/b.js": "export const yes = 1;"])
        #expect(error?.file == "/h/main.js")
        #expect(error?.line == 2)
        #expect(error?.message.contains("'no'") == true)
    }

    @Test func aMissingFileIsReportedAtTheImport() throws {
        let error = try failure(["/h/main.js": "const a = 1;\n  import b from './gone.js';"])
        #expect(error?.description == "/h/main.js:2:17: cannot import './gone.js': there is no file '/h/gone.js'")
        #expect(error?.sourceLine == "  import b from './gone.js';")
    }

    @Test func badJSONIsReportedInTheJSONFileAndDoesNotEndTheProcess() throws {
        let error = try failure([
            "/h/main.js": "import c from './c.json' assert { type: 'json' };", "/h/c.json": "{\n  \"a\": oops\n}",
        ])
        #expect(error?.file == "/h/c.json")
        #expect(error?.line == 2)
        #expect(error?.message.contains("SyntaxError") == true)
    }

    @Test func aJSONImportNeedsItsType() throws {
        let error = try failure(["/h/main.js": "import c from './c.json';", "/h/c.json": "{}"])
        #expect(error?.message.contains("assert { type: \"json\" }") == true)
        let wrong = try failure(["/h/main.js": "import './c.js' assert { type: 'json' };", "/h/c.js": ""])
        #expect(wrong?.line == 1)
    }

    @Test func anErrorWhileRunningNamesTheFileItHappenedIn() throws {
        let error = try failure([
            "/h/main.js": "import { f } from './lib.js';\nexport default () => f();",
            "/h/lib.js": "export function f() {\n  return undefined.x;\n}",
        ])
        #expect(error?.file == "/h/lib.js")
        #expect(error?.line == 2)
        #expect(error?.column == 20)
        #expect(error?.sourceLine == "  return undefined.x;")
        #expect(error?.stack.contains("/h/main.js:2:22") == true)
    }

    @Test func anErrorAtTheTopLevelFailsTheLoad() throws {
        let error = try failure(["/h/main.js": "\nthrow new Error('at load');"])
        #expect(error?.description == "/h/main.js:2:7: Error: at load")
    }

    @Test func topLevelAwaitMaySettleButNotHang() throws {
        let rig = try Rig()
        #expect(rig.run(files: ["/h/main.js": "const x = await 4; export default () => x;"]).result.int == 4)
        let error = try failure(["/h/main.js": "await new Promise(() => {}); export default () => 1;"])
        #expect(error?.message == "top-level await has not settled when the module was loaded")
        let rejected = try failure(["/h/main.js": "await 1;\nawait Promise.reject(new Error('no'));"])
        #expect(rejected?.message == "Error: no")
    }

    @Test func dynamicImportIsRejected() throws {
        let rig = try Rig()
        let result = rig.run(files: [
            "/h/main.js": "export default () => { import('./b.js').catch((e) => native.note(e.name)); }",
            "/h/b.js": "native.note('loaded');",
        ])
        #expect(result.result.isUndefined)
        #expect(rig.operations.notes.count == 1)
        #expect(rig.operations.notes != ["loaded"])
    }

    @Test func aModuleIsEvaluatedOnceHoweverOftenItIsImported() throws {
        let rig = try Rig()
        let result = rig.run(files: [
            "/h/main.js": "import './a.js'; import './b.js'; export default () => 1;",
            "/h/a.js": "import './c.js';", "/h/b.js": "import './c.js'; import './a.js';",
            "/h/c.js": "native.note('c');",
        ])
        #expect(result.result.int == 1)
        #expect(rig.operations.notes == ["c"])
    }

    @Test func thrownValuesThatAreNoErrorsAreDescribed() throws {
        let rig = try Rig()
        #expect(rig.run("throw 'text';").result.error?.message == "text")
        #expect(rig.run("throw { a: 1 };").result.error?.message == "#<Object>")
        #expect(rig.run("throw null;").result.error?.message == "null")
        #expect(rig.run("throw { toString() { throw 1; } };").result.error != nil)
    }

    @Test func anOperationCanDescribeAnErrorItIsGiven() throws {
        let rig = try Rig()
        _ = rig.run("try {\n  null.x;\n} catch (e) {\n  native.describe(e);\n}")
        #expect(rig.operations.lastError?.file == "/h/main.js")
        #expect(rig.operations.lastError?.line == 2)
        #expect(rig.operations.lastError?.stack.isEmpty == false)
    }
}
