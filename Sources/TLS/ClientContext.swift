/// How one group of origins is spoken to: whom to trust, what to offer, which sessions to resume.
public final class ClientContext {
    public init(_ options: ClientOptions = ClientOptions()) throws(TLSConfigurationError) {
    }
}
