#!/usr/bin/env bash
# Server CPU of the https_web bundle endpoint beside nginx, and beside the least that actix and rustls need
# (benches/bare_endpoint.rs): per keep-alive request, and per full handshake with one request (`Connection: close`; wrk
# offers no session to resume, and no server issues or takes one).
#
# Same body bytes and P-256 certificate; servers on core 0, wrk on core 1; CPU from
# /proc/PID/stat, children summed. Median of 3 runs. Also RSS, idle and after the load.
#
#   benches/endpoint.sh     COMITY_BIN and BARE_BIN name the binaries, else they are built
#   SECONDS_PER_RUN=10 CONNECTIONS=32 RUNS=3 are the defaults
#
# Needs nginx, wrk, openssl, curl and two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly RUN_SECONDS=${SECONDS_PER_RUN:-10} CONNECTIONS=${CONNECTIONS:-32} RUNS=${RUNS:-3}
readonly COMITY_PORT=18443 NGINX_PORT=18444 BARE_PORT=18445
readonly TICKS=$(getconf CLK_TCK)

umask 077
folder=$(mktemp -d)
pids=()
finish() {
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap finish EXIT

find_comity() {
    local binary=${COMITY_BIN:-target/release/comity}
    [[ -x $binary || -n ${COMITY_BIN:-} ]] || cargo build --release --locked --bin comity >&2
    realpath -e "$binary"
}

find_bare() {
    local binary=${BARE_BIN:-}
    [[ -n $binary ]] || binary=$(cargo bench --locked --bench bare_endpoint --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*bare_endpoint[^"]*\)".*/\1/p' | tail -n 1)
    realpath -e "$binary"
}

make_certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=localhost' \
        -keyout "$folder/tls.key" -out "$folder/tls.pem" -addext 'basicConstraints=critical,CA:FALSE' \
        -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -addext 'keyUsage=critical,digitalSignature' 2>/dev/null
    mkdir "$folder/ca"
    local at
    for at in 1 2 3 4; do
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=bench CA $at" \
            -keyout /dev/null -out "$folder/ca/$at.pem" -addext 'keyUsage=critical,keyCertSign,cRLSign' \
            -addext 'subjectAltName=URI:spiffe://bench.example' 2>/dev/null
    done
}

start_comity() {
    cat >"$folder/comity.toml" <<EOF
trust_domain = "bench.example"
[store]
url = "sqlite://$folder/comity.db"
[authorities]
x509 = ["$folder/ca/"]
[endpoint.https_web]
listen = "127.0.0.1:$COMITY_PORT"
path = "/"
certificate = "$folder/tls.pem"
private_key = "$folder/tls.key"
[operations]
listen = "127.0.0.1:0"
[admin]
socket = "$folder/admin.sock"
EOF
    taskset -c 0 "$1" serve --config "$folder/comity.toml" >"$folder/comity.log" 2>&1 &
    comity=$!
    pids+=("$comity")
    await_answer "$COMITY_PORT" "$folder/comity.log"
}

# Serves the bytes that comity serves.
start_nginx() {
    mkdir "$folder/html"
    curl -sSf --cacert "$folder/tls.pem" "https://localhost:$COMITY_PORT/" -o "$folder/html/bundle.json"
    cat >"$folder/nginx.conf" <<EOF
worker_processes 1;
daemon off;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $folder/t1; proxy_temp_path $folder/t2; fastcgi_temp_path $folder/t3;
    uwsgi_temp_path $folder/t4; scgi_temp_path $folder/t5;
    open_file_cache max=10;
    server {
        listen 127.0.0.1:$NGINX_PORT ssl;
        ssl_certificate $folder/tls.pem;
        ssl_certificate_key $folder/tls.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;
        ssl_session_cache off;
        default_type application/json;
        root $folder/html;
        location = / { try_files /bundle.json =404; }
    }
}
EOF
    chmod 755 "$folder" "$folder/html" # a worker that isn't root reads there
    chmod 644 "$folder/html/bundle.json"
    taskset -c 0 nginx -e "$folder/nginx.log" -c "$folder/nginx.conf" -p "$folder" &
    nginx=$!
    pids+=("$nginx")
    await_answer "$NGINX_PORT" "$folder/nginx.log"
}

start_bare() {
    taskset -c 0 "$1" "127.0.0.1:$BARE_PORT" "$folder/tls.pem" "$folder/tls.key" "$folder/html/bundle.json" \
        >"$folder/bare.log" 2>&1 &
    bare=$!
    pids+=("$bare")
    await_answer "$BARE_PORT" "$folder/bare.log"
}

await_answer() {
    local attempt
    for attempt in {1..100}; do
        ! curl -sf --cacert "$folder/tls.pem" "https://localhost:$1/" -o /dev/null || return 0
        sleep 0.1
    done
    echo "no answer on port $1" >&2
    cat "$2" >&2
    return 1
}

family() { echo "$1" $(pgrep -P "$1" || true); }

# CPU of a process and its children so far, in ticks.
cpu_ticks() {
    local pid total=0 fields
    for pid in $(family "$1"); do
        fields=$(sed 's/.*) //' "/proc/$pid/stat")
        set -- $fields
        total=$((total + ${12} + ${13}))
    done
    echo "$total"
}

rss_megabytes() {
    local pid
    for pid in $(family "$1"); do grep VmRSS "/proc/$pid/status"; done |
        awk '{ kilobytes += $2 } END { printf "%.1f", kilobytes / 1024 }'
}

# Microseconds of CPU of process $1 per request on port $2; further arguments go to wrk.
cost() {
    local pid=$1 port=$2 before after output requests
    shift 2
    before=$(cpu_ticks "$pid")
    output=$(taskset -c 1 wrk -t1 -c"$CONNECTIONS" -d"${RUN_SECONDS}s" "$@" "https://127.0.0.1:$port/")
    after=$(cpu_ticks "$pid")
    if grep -q 'Non-2xx' <<<"$output"; then
        echo "$output" >&2
        return 1
    fi
    requests=$(awk '/requests in/ { print $1 }' <<<"$output")
    awk -v ticks=$((after - before)) -v hertz="$TICKS" -v requests="$requests" \
        'BEGIN { printf "%.2f\n", ticks / hertz * 1e6 / requests }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# One row: all in turn, so that the machine's moods fall on each.
compare() {
    local name=$1 run c=() n=() b=()
    shift
    for ((run = 0; run < RUNS; run++)); do
        c+=("$(cost "$comity" "$COMITY_PORT" "$@")")
        n+=("$(cost "$nginx" "$NGINX_PORT" "$@")")
        b+=("$(cost "$bare" "$BARE_PORT" "$@")")
    done
    local ours theirs least
    ours=$(printf '%s\n' "${c[@]}" | median)
    theirs=$(printf '%s\n' "${n[@]}" | median)
    least=$(printf '%s\n' "${b[@]}" | median)
    row "$name, us" "$ours" "$theirs" "$least"
    echo "    runs: comity ${c[*]}; nginx ${n[*]}; bare ${b[*]}"
}

# Our figure, nginx's and the bare server's, and what ours is of both.
row() {
    printf '%-40s %8s %8s %8s %9s %9s\n' "$1" "$2" "$3" "$4" \
        "$(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.2f", a / b }')" "$(awk -v a="$2" -v b="$4" 'BEGIN { printf "%.2f", a / b }')"
}

for tool in nginx wrk openssl curl taskset; do
    command -v "$tool" >/dev/null || { echo "benches/endpoint.sh needs $tool" >&2; exit 1; }
done
binary=$(find_comity)
bare_binary=$(find_bare)
make_certificates
start_comity "$binary"
start_nginx
start_bare "$bare_binary"
sleep 3
idle=("$(rss_megabytes "$comity")" "$(rss_megabytes "$nginx")" "$(rss_megabytes "$bare")")
echo "$(wc -c <"$folder/html/bundle.json") bytes, $CONNECTIONS connections, $RUNS runs of $RUN_SECONDS s; $(nginx -v 2>&1)"
printf '%-40s %8s %8s %8s %9s %9s\n' '' comity nginx bare of-nginx of-bare
compare 'CPU per keep-alive request'
compare 'CPU per full handshake and request' -H 'Connection: close'
row 'RSS idle, MiB' "${idle[@]}"
row 'RSS after the load, MiB' "$(rss_megabytes "$comity")" "$(rss_megabytes "$nginx")" "$(rss_megabytes "$bare")"
