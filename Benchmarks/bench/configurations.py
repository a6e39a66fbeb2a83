"""Configuration files of the contenders and of the origin, each tuned for one core. `@X@` is replaced by `Place`."""

TEMPORARY = "".join(f"{kind}_temp_path @DIR@/@NAME@-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))

ORIGIN = """
user root; daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
error_log @DIR@/origin.log; pid @DIR@/origin.pid;
events { worker_connections 18000; use epoll; multi_accept on; }
http {
    """ + TEMPORARY + """
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; default_type text/plain; open_file_cache max=100;
    keepalive_requests 1000000000; keepalive_timeout 600s;
    server {
        listen 127.0.0.1:@ORIGIN@ backlog=4096; root @DIR@/www;
        location = / { return 200 "@SMALL@"; }
        # Takes a body to its end before it answers: nginx does that for whoever is behind it.
        location = /upload { client_max_body_size 0; proxy_pass http://127.0.0.1:@ORIGIN@/; }
        location / { }
    }
}
"""

NGINX = """
@LOAD@
user root; daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
error_log @DIR@/@NAME@.log; pid @DIR@/@NAME@.pid;
events { worker_connections 18000; use epoll; multi_accept on; accept_mutex off; }
http {
    """ + TEMPORARY + """
    access_log off; sendfile on; tcp_nodelay on; server_tokens off; keepalive_requests 1000000000; keepalive_timeout 600s;
    upstream origin {
        server 127.0.0.1:@ORIGIN@; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s;
    }
    ssl_certificate @DIR@/server.crt; ssl_certificate_key @DIR@/server.key;
    ssl_certificate @DIR@/rsa.crt; ssl_certificate_key @DIR@/rsa.key; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:S:20m; ssl_session_tickets on; ssl_buffer_size 16k;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Via "1.1 gateway";
    proxy_buffering on; proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;
    @HTTP@
    server {
        listen 127.0.0.1:@PLAIN@ backlog=4096; listen 127.0.0.1:@SECURE@ ssl http2 backlog=4096;
        @NGINXNEIGHBOUR@
        location / { @LOCATION@ proxy_pass http://origin; }
    }
}
"""

# (load_module lines, http block, location block) of nginx with a script, by module and phase
MODULES = "/usr/lib/nginx/modules"
NJS_LOAD = f"load_module {MODULES}/ngx_http_js_module.so;"
NJS_IMPORT = "js_path @DIR@; js_import hook from nginx-hook.js; "
# A proxy_set_header inside of `location` would drop all of the outer ones, and with them keep-alive to the origin.
NJS_REQUEST, NJS_RESPONSE = "js_set $from_hook hook.request; proxy_set_header X-Hook $from_hook;", "js_header_filter hook.response;"
LUA_LOAD = f"load_module {MODULES}/ndk_http_module.so; load_module {MODULES}/ngx_http_lua_module.so;"
LUA_REQUEST = 'access_by_lua_block { ngx.req.set_header("X-Hook", ngx.var.http_user_agent) } '
LUA_RESPONSE = 'header_filter_by_lua_block { ngx.header["X-Hook"] = ngx.var.http_user_agent }'
SCRIPTED = {
    "nginx-njs": (NJS_LOAD, NJS_IMPORT + NJS_REQUEST, NJS_RESPONSE),
    "nginx-njs-request": (NJS_LOAD, NJS_IMPORT + NJS_REQUEST, ""),
    "nginx-njs-response": (NJS_LOAD, NJS_IMPORT, NJS_RESPONSE),
    "nginx-lua": (LUA_LOAD, "", LUA_REQUEST + LUA_RESPONSE),
    "nginx-lua-request": (LUA_LOAD, "", LUA_REQUEST),
    "nginx-lua-response": (LUA_LOAD, "", LUA_RESPONSE),
}
NJS_SCRIPT = """\
function request(r) { return r.headersIn['User-Agent']; }
function response(r) { r.headersOut['X-Hook'] = r.headersIn['User-Agent']; }
export default {request, response};
"""

HAPROXY = """
global
    nbthread 1
    no strict-limits
    maxconn 9500
    ulimit-n 20000
    tune.bufsize 16384
    tune.pipesize 1048576
    ssl-default-bind-options ssl-min-ver TLSv1.2
    tune.ssl.default-dh-param 2048
    tune.ssl.cachesize 100000
    tune.h2.max-concurrent-streams 128
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    option http-keep-alive
    http-reuse always
    option forwardfor
    option splice-request
    option splice-response
    maxconn 9500
frontend clients
    bind 127.0.0.1:@PLAIN@ backlog 4096
    bind 127.0.0.1:@SECURE@ ssl crt @DIR@/haproxy.pem crt @DIR@/haproxy-rsa.pem alpn h2,http/1.1 backlog 4096
    http-request add-header Via "1.1 gateway"
    @HAPROXYNEIGHBOUR@
    default_backend origin
@HAPROXYBACKEND@
backend origin
    server origin 127.0.0.1:@ORIGIN@ pool-max-conn 512
"""

NGHTTPX = """\
frontend=127.0.0.1,@PLAIN@;no-tls
frontend=127.0.0.1,@SECURE@
backend=127.0.0.1,@ORIGIN@;;proto=http/1.1
private-key-file=@DIR@/server.key
certificate-file=@DIR@/server.crt
workers=1
single-process=yes
single-thread=yes
backend-connections-per-host=512
add-x-forwarded-for=yes
errorlog-file=@DIR@/nghttpx.log
accesslog-file=/dev/null
no-ocsp=yes
frontend-keep-alive-timeout=600s
backend-keep-alive-timeout=600s
rlimit-nofile=20000
"""

# One worker thread (--concurrency 1), no access log, no statistics, no request id, circuit breakers out of the way.
ENVOY = """\
static_resources:
  listeners:
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: @PLAIN@}}
    tcp_backlog_size: 4096
    filter_chains:
    - filters: &filters
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          codec_type: AUTO
          use_remote_address: true
          via: gateway
          generate_request_id: false
          route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: origin, timeout: 0s}}]}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, dynamic_stats: false, suppress_envoy_headers: true}
  - name: secure
    address: {socket_address: {address: 127.0.0.1, port_value: @SECURE@}}
    tcp_backlog_size: 4096
    filter_chains:
    - filters: *filters
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates: [{certificate_chain: {filename: "@DIR@/server.crt"}, private_key: {filename: "@DIR@/server.key"}}]
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 20000, max_requests: 100000, max_pending_requests: 100000}]}
    load_assignment: {cluster_name: origin, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @ORIGIN@}}}}]}]}
"""

SLUICE = """\
sluice: 1
listeners:
  - {name: plain, address: "127.0.0.1:@PLAIN@"}
  - name: secure
    address: "127.0.0.1:@SECURE@"
    tls: {certificates: [{cert: "@DIR@/server.crt", key: "@DIR@/server.key"}, {cert: "@DIR@/rsa.crt", key: "@DIR@/rsa.key"}]@RECORDS@}
access_log: {path: "off"}
@LIMITS@
upstreams:
  origin: {servers: ["http://127.0.0.1:@ORIGIN@"], keepalive: 256}
@UPSTREAMS@
@FUNCTIONS@
sites:
  - name: all
    hosts: ["*"]
    upstream: origin
@RULES@
"""
SLUICE_FUNCTIONS = "functions:\n  hook: {file: sluice-hook.js}\n  waits: {file: sluice-waits.js}\n"
RUN_ON_REQUEST = "    request: [{name: hook, do: [{run: {function: hook}}]}]\n"
RUN_ON_RESPONSE = "    response: [{name: hook, do: [{run: {function: hook}}]}]\n"
SLUICE_RULES = {
    "sluice-hook": RUN_ON_REQUEST + RUN_ON_RESPONSE,
    "sluice-hook-request": RUN_ON_REQUEST,
    "sluice-hook-response": RUN_ON_RESPONSE,
    "sluice-hook-async": RUN_ON_REQUEST.replace("function: hook", "function: waits"),
}
# The well-behaved client of `Benchmarks/attacks` has an origin of its own: what an attacker does to his is not what is measured.
SLUICE_NEIGHBOUR_UPSTREAM = '  neighbour: {servers: ["http://127.0.0.1:@NEIGHBOUR@"], keepalive: 256}'
SLUICE_NEIGHBOUR_RULES = "    request: [{name: neighbour, when: 'path == \"/\"', do: [{route: neighbour}]}]"
# The same of the peers, with time limits like the ones that `bench/attacks.py` gives Sluice.
NGINX_TIMES = "client_header_timeout 2s; client_body_timeout 2s; send_timeout 1s; reset_timedout_connection on;"
NGINX_NEIGHBOUR = "location = / { proxy_pass http://neighbour; }"
NGINX_NEIGHBOUR_UPSTREAM = ("upstream neighbour { server 127.0.0.1:@NEIGHBOUR@; keepalive 256; keepalive_requests 1000000000; "
                            "keepalive_timeout 600s; }")
HAPROXY_TIMES = "timeout http-request 2s\n    timeout client 2s\n    "
HAPROXY_NEIGHBOUR = "use_backend neighbour if { path / }"
HAPROXY_NEIGHBOUR_BACKEND = "backend neighbour\n    server neighbour 127.0.0.1:@NEIGHBOUR@ pool-max-conn 512"
SLUICE_SCRIPT = """\
export default {
  onRequest(request) { request.headers.set("x-hook", request.headers.get("user-agent")); },
  onResponse(response, env, ctx) { response.headers.set("x-hook", ctx.request.headers.get("user-agent")); },
};
"""
SLUICE_WAITS = """\
export default {
  async onRequest(request) { await null; request.headers.set("x-hook", request.headers.get("user-agent")); },
};
"""
