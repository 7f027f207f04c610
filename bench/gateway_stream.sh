#!/usr/bin/env bash
# Large bodies through the gateway: a file up and down, beside nginx. One JSON line for each figure.
#
#   bench/gateway_stream.sh
#
# ROUNDS=3       rounds, nginx and ours in turns
# BYTES=2147483648
# The proxies have one core each, the client and the service (gateway_stream.py) the other. Neither gathers a body in a file: nginx
# passes uploads on as they come, and keeps of a download what its buffers hold. `peak_kb` is the largest resident memory during the
# transfer, of our process.
# Needs curl, nginx and python3, and two cores.
#
# See lib.sh for HANDOVER and BENCH_DIR.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-3} bytes=${BYTES:-2147483648} port=${PORT:-18192} theirs=18193 service=18194
need curl python3 nginx taskset
find_handover
make_work
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
truncate -s "$bytes" large
cat >handover.yaml <<YAML
data: ./data
apps:
  store: { url: "http://127.0.0.1:$service" }
api: { listen: 127.0.0.1:$port }
YAML
cat >nginx.conf <<CONF
worker_processes 1; daemon off; pid $work/nginx.pid; error_log $work/nginx.err;
events { worker_connections 64; }
http {
  access_log $work/nginx.log; client_max_body_size 0; client_body_temp_path $work/body; proxy_temp_path $work/temp;
  server {
    listen 127.0.0.1:$theirs;
    location / {
      proxy_pass http://127.0.0.1:$service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; client_body_buffer_size 64k; proxy_buffers 16 64k; proxy_max_temp_file_size 0;
    }
  }
}
CONF
key=$("$handover" keys create bench --scope submit 2>/dev/null)
taskset -c 1 python3 "$here/gateway_stream.py" $service & started+=($!)
taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" 2>>log & started+=($!)
taskset -c 0 "$handover" run 2>server.log &
server=$!
started+=("$server")
for at in "$port/livez" "$theirs/" "$service/"; do
    for _ in $(seq 100); do curl -s -o /dev/null "http://127.0.0.1:$at" && break; sleep 0.1; done
done

# transfer SIDE WAY TO URL [OPTIONS]: its seconds, and what the process held at most.
transfer() {
    local side=$1 way=$2 said peak=null
    [ "$side" != ours ] || echo 5 >"/proc/$server/clear_refs"
    said=$(taskset -c 1 curl -sS -H "X-API-Key: $key" -o "$3" -w '%{http_code} %{time_total} %{size_download} %{size_upload}' "${@:4}")
    [ "$side" != ours ] || peak=$(awk '/VmHWM/ { print $2 }' "/proc/$server/status")
    python3 - "$side" "$way" "$peak" "$bytes" $said <<'PY'
import json, sys
side, way, peak, size, status, seconds, down, up = sys.argv[1:]
assert status == "200" and size == (up if way == "up" else down), sys.argv
if way == "up":
    assert open("out").read() == size, "the service got another size"
print(json.dumps({"side": side, "way": way, "seconds": float(seconds), "mb_per_s": round(int(size) / float(seconds) / 1e6),
                  "peak_kb": json.loads(peak)}))
PY
}

for round in $(seq "$rounds"); do
    for side in nginx ours; do
        if [ $side = nginx ]; then at=http://127.0.0.1:$theirs; else at=http://127.0.0.1:$port/api/v1/services/store; fi
        transfer $side up out "$at/up" -T large -H 'Expect:'
        transfer $side down /dev/null "$at/down/$bytes"
    done | sed "s/^{/{\"round\":$round,/" | tee -a lines
done
python3 - lines <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
for way in ("up", "down"):
    of = lambda side: [line["seconds"] for line in lines if line["side"] == side and line["way"] == way]
    ratios = [ours / nginx for ours, nginx in zip(of("ours"), of("nginx"))]
    spread = lambda values: [round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)]
    peak = max(line["peak_kb"] for line in lines if line["side"] == "ours" and line["way"] == way)
    print(json.dumps({"figure": f"{way}: median, smallest, largest", "nginx_s": spread(of("nginx")), "ours_s": spread(of("ours")),
                      "ratio": spread(ratios), "ours_peak_kb": peak}))
PY
