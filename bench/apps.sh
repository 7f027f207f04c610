#!/usr/bin/env bash
# Each built-in app by itself, beside programs that do the same on the same file: a year of flights, TIMES times over.
#
#   FLIGHTS_ZIP=flights.csv.zip bench/apps.sh
#
# validator    handover app validator     beside `frictionless validate` (PyPI; on one year) and `qsv validate`
# enricher     handover app enricher      beside DuckDB's COPY of the same join
# transformer  handover app data-transformer, CSV to NDJSON, beside DuckDB's COPY
#
# What is not installed is left out: PYTHON names a Python that has `duckdb` and `frictionless`, qsv is looked for in PATH.
# Outputs are compared by their rows. FLIGHTS_ZIP, TIMES=10, ROUNDS=3 as in flights_year.sh; see lib.sh for the rest.

# shellcheck source=bench/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rounds=${ROUNDS:-3}
python=${PYTHON:-python3}
flights=$(realpath "${FLIGHTS_ZIP:?names the flights, as .csv or .zip}")
need python3
make_work
export WORK=$work
find_handover
example=$here/../examples/flights
cp -a "$example/schemas" "$example/reference" "$work"
cd "$work"

has() { "$python" -c "import $1" 2>/dev/null; }

run() { # run BENCH ROUND WHO COMMAND...
    python3 "$tools" measured "$@" | tee -a "$work/results.$1"
}

# What the peers' scripts do, as one statement.
statement='import sys, duckdb; duckdb.connect().execute(sys.argv[1])'

same_lines() { # same_lines A B
    [ "$(wc -l <"$1")" = "$(wc -l <"$2")" ] || { echo "$1 and $2 have not the same number of lines" >&2 && exit 1; }
}

python3 "$tools" repeat-flights "$flights" "${TIMES:-10}" flights.csv
python3 "$tools" repeat-flights "$flights" 1 year.csv
python3 "$tools" machine "$work"
lookups=(--lookup reference/airlines.csv carrier carrier_name:name
    --lookup reference/airports.csv dest:faa "dest_name:name,dest_lat:lat,dest_lon:lon")
join="copy (select f.*, a.name as carrier_name, p.name as dest_name, p.lat as dest_lat, p.lon as dest_lon
  from read_csv('flights.csv', all_varchar = true) f
  left join read_csv('reference/airlines.csv', all_varchar = true) a on a.carrier = f.carrier
  left join read_csv('reference/airports.csv', all_varchar = true) p on p.faa = f.dest) to 'duckdb.csv' (header)"
json="copy (select * from read_csv('flights.csv', all_varchar = true)) to 'duckdb.ndjson' (format json)"
# What of the schema JSON Schema can say, as qsv takes it.
# shellcheck disable=SC2016 # Python's, not the shell's
python3 -c 'import json
fields = json.load(open("schemas/flights.json"))["fields"]
kind = lambda f: {"type": "integer" if f["type"] == "integer" else "string",
                  **{k: v for k, v in f["constraints"].items() if k in ("minimum", "maximum", "enum")},
                  **({"pattern": "^" + f["constraints"]["pattern"] + "$"} if "pattern" in f["constraints"] else {})}
json.dump({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
           "properties": {f["name"]: kind(f) for f in fields}}, open("qsv.json", "w"))'

for ((round = 1; round <= rounds; round++)); do
    run validator "$round" ours "$handover" app validator -q --schema schemas/flights.json flights.csv -o ours.csv
    run validator-year "$round" ours "$handover" app validator -q --schema schemas/flights.json year.csv -o ours.csv
    if has frictionless; then
        # It ends with 1 where it finds errors, as it has to here.
        run validator-year "$round" frictionless sh -c \
            "$python -m frictionless validate year.csv --schema schemas/flights.json --limit-errors 1000000 --json >frictionless.json || true"
    fi
    if [ -n "$(type -P qsv)" ]; then
        run validator "$round" qsv sh -c "qsv validate flights.csv qsv.json >qsv.out || true"
    fi
    run enricher "$round" ours "$handover" app enricher -q "${lookups[@]}" flights.csv -o ours.csv
    run transformer "$round" ours "$handover" app data-transformer -q flights.csv -o ours.ndjson
    if has duckdb; then
        run enricher "$round" duckdb "$python" -c "$statement" "$join"
        same_lines ours.csv duckdb.csv
        run transformer "$round" duckdb "$python" -c "$statement" "$json"
        same_lines ours.ndjson duckdb.ndjson
    fi
done
for pair in validator-year:frictionless validator:qsv enricher:duckdb transformer:duckdb; do
    python3 "$tools" summary "${pair%:*}" seconds "${pair#*:}" ours <"$work/results.${pair%:*}"
done
