import Hooks
import Isolates
public import Reactor
public import Rules
import TLS
import Upstream

/// Tries what only running can show: whether certificates fit their keys, trust stores can be read and hooks load.
///
/// To be called in a process of its own: a module's top level runs here, and V8 can end the process it runs in.
public enum ConfigurationTrial {
    /// Everything that is wrong, with place and remedy, and what should be looked at; without errors the configuration can be served.
    public static func complaints(_ bundle: ConfigurationBundle) -> [Diagnostic] {
        let files = FileBundle(files: Dictionary(bundle.files.map { ($0.path, $0.bytes) }) { first, _ in first })
        let result = RuleFile.load(bundle.mainFile, provider: files)
        guard let configuration = result.configuration else { return result.diagnostics }
        return debugKey(configuration, files) + egress(configuration, files) + certificates(configuration, files) + origins(configuration, files) + hooks(configuration, files)
    }

    private static func debugKey(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        do {
            _ = try LiveTracing(configuration, rules: Generation(Configuration()), files: files)
            return []
        } catch {
            return [Diagnostic(.text, "\(error)", at: configuration.debug?.key.position ?? .none, in: configuration, files)]
        }
    }

    private static func certificates(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        configuration.listeners.flatMap { listener in
            let place = listener.tls?.certificates.first?.certificate.position ?? listener.position
            var alone = configuration
            alone.listeners = [listener]
            do {
                let warnings = try ListenerState.all(alone, files: files, ticketKeys: [])[listener.name]?.tls?.warnings ?? []
                return warnings.map { Diagnostic(.certificateDates, "listener \"\(listener.name)\": \($0)", at: place, in: configuration, files) }
            } catch {
                return [Diagnostic(.certificate, "listener \"\(listener.name)\": \(error)", at: place, in: configuration, files)]
            }
        }
    }

    private static func origins(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        configuration.upstreams.compactMap { upstream in
            do {
                _ = try ClientContext(UpstreamSettings(upstream, files: files).tls)
                return nil
            } catch {
                return Diagnostic(
                    .authorities, "upstream \"\(upstream.name)\": \(error)", at: upstream.tls.authorities?.position ?? upstream.position,
                    in: configuration, files)
            }
        }
    }

    private static func egress(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        guard let authorities = configuration.egress.authorities else { return [] }
        do {
            _ = try ClientContext(EgressSettings(configuration.egress, files).tls)
            return []
        } catch {
            return [Diagnostic(.authorities, "egress: \(error)", at: authorities.position, in: configuration, files)]
        }
    }

    private static func hooks(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        var options = V8Engine.Options()
        options.webAssemblyBytes = configuration.webAssemblyBytes
        V8Engine.start(options)
        let runtime = HookRuntime(host: HookHost())
        var loaded: [HookFunction?] = []
        var complaints: [Diagnostic] = []
        for function in configuration.functions {
            do {
                loaded.append(try runtime.load(HookSource(try FunctionKey(function, configuration, files))))
            } catch {
                loaded.append(nil)
                complaints.append(Diagnostic(.hookLoad, "\(error)", at: function.module.position, in: configuration, files))
            }
            // What handlers it has is known: a thousand functions take no more memory than one.
            _ = runtime.evict(beyond: 0)
        }
        for (function, loaded) in zip(configuration.functions, loaded) {
            guard let first = function.schedules.first, let loaded, !loaded.handles(.scheduled) else { continue }
            complaints.append(Diagnostic(.hookHandler, GenerationHooks.noHandler(function), at: first.position, in: configuration, files))
        }
        let generation = Generation(configuration)
        for use in generation.hookUses {
            guard let function = loaded[use.call.function],
                let wanted = GenerationHooks.missingHandlers(use.phase, function)
            else { continue }
            complaints.append(missing(wanted, function, use, generation, files))
        }
        return complaints
    }

    /// Said where the rule is, not where the function is: one of the two is in the wrong place, and it is mostly the rule.
    private static func missing(
        _ wanted: String, _ loaded: HookFunction, _ use: HookUse, _ generation: Generation, _ files: FileBundle
    ) -> Diagnostic {
        let configuration = generation.configuration
        let function = configuration.functions[use.call.function]
        let exported = HookPhase.allCases.filter { loaded.handles($0) }.map { "\($0.handlerName)" }.joined(separator: ", ")
        let id = generation.ruleID(use.call.rule)
        let context = "\(use.phase.name) rule \"\(id)\""
        return Diagnostic(
            .hookHandler, "function \"\(function.name)\" is run in the \(use.phase.name) phase, but \(function.module.path) does not export \(wanted)",
            at: use.action, in: configuration, files, context: context, label: "it exports \(exported)")
    }
}
