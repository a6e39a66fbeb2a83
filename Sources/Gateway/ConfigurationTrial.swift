import Hooks
public import Reactor
import Rules
import TLS
import Upstream

/// Tries what only running can show: whether certificates fit their keys, trust stores can be read and hooks load.
///
/// To be called in a process of its own: a module's top level runs here, and V8 can end the process it runs in.
public enum ConfigurationTrial {
    /// Everything that is wrong, with place and remedy; empty when the configuration can be served.
    public static func complaints(_ bundle: ConfigurationBundle) -> [String] {
        let files = FileBundle(files: Dictionary(bundle.files.map { ($0.path, $0.bytes) }) { first, _ in first })
        let result = RuleFile.load(bundle.mainFile, provider: files)
        guard let configuration = result.configuration else { return result.diagnostics.map { $0.message } }
        return certificates(configuration, files) + origins(configuration, files) + hooks(configuration, files)
    }

    private static func certificates(_ configuration: Configuration, _ files: FileBundle) -> [String] {
        configuration.listeners.compactMap { listener in
            var alone = configuration
            alone.listeners = [listener]
            do {
                _ = try ListenerState.all(alone, files: files, ticketKeys: [])
                return nil
            } catch {
                return "\(configuration.describe(listener.position)): listener \"\(listener.name)\": \(error)"
            }
        }
    }

    private static func origins(_ configuration: Configuration, _ files: FileBundle) -> [String] {
        configuration.upstreams.compactMap { upstream in
            do {
                _ = try ClientContext(UpstreamSettings(upstream, files: files).tls)
                return nil
            } catch {
                return "\(configuration.describe(upstream.position)): upstream \"\(upstream.name)\": \(error)"
            }
        }
    }

    private static func hooks(_ configuration: Configuration, _ files: FileBundle) -> [String] {
        let runtime = HookRuntime(host: HookHost())
        var loaded: [HookFunction?] = []
        var complaints: [String] = []
        for function in configuration.functions {
            do {
                loaded.append(try runtime.load(HookSource(FunctionKey(function, configuration, files))))
            } catch {
                loaded.append(nil)
                complaints.append("\(error)")
            }
        }
        for use in Generation(configuration).hookUses {
            guard let function = loaded[use.call.function] else { continue }
            let missing = GenerationHooks.missingHandler(
                use.phase, function, configuration.functions[use.call.function], configuration)
            if let missing, !complaints.contains(missing) { complaints.append(missing) }
        }
        return complaints
    }
}
