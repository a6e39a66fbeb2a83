extension ConfigurationBundle {
    /// A file of a configuration that ends by itself: a certificate or an OCSP response.
    public struct Ending: Sendable, Hashable {
        public enum Use: String, Sendable, CaseIterable {
            /// Shown to clients.
            case listener
            /// Shown to origins.
            case origin
            /// Of the admin address.
            case admin
            /// Stapled to a listener's certificate.
            case ocsp
        }

        public var file: String
        public var use: Use
        /// Seconds since 1970.
        public var begins: Int
        public var ends: Int

        public init(file: String, use: Use, begins: Int, ends: Int) {
            self.file = file
            self.use = use
            self.begins = begins
            self.ends = ends
        }
    }

    func writeEndings(_ writer: inout PacketWriter) {
        writer.list(endings) { writer, ending in
            writer.string(ending.file)
            writer.string(ending.use.rawValue)
            writer.number(UInt64(bitPattern: Int64(ending.begins)))
            writer.number(UInt64(bitPattern: Int64(ending.ends)))
        }
    }

    static func readEndings(_ reader: inout PacketReader) throws(PacketError) -> [Ending] {
        try reader.list { (reader) throws(PacketError) in
            let file = try reader.string()
            let at = reader.offset
            guard let use = Ending.Use(rawValue: try reader.string()) else { throw PacketError(what: "unknown use of a certificate", offset: at) }
            let begins = Int(Int64(bitPattern: try reader.number()))
            return Ending(file: file, use: use, begins: begins, ends: Int(Int64(bitPattern: try reader.number())))
        }
    }
}
