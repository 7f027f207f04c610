#!/bin/sh
# Push, pull, ack, fail, extend and replay from a shell script.
set -eu
sql() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }

# Hand over: one, and many at once. A known dedup key gives the known record's number.
id=$(sql -c "SELECT integration.push('shop', 'mailer', '{\"to\": \"ann@example.org\"}', dedup_key => 'order-7')")
again=$(sql -c "SELECT integration.push('shop', 'mailer', '{\"to\": \"ann@example.org\"}', dedup_key => 'order-7')")
[ "$id" = "$again" ] && echo "pushed once: one number for both"
sql -c "SELECT integration.push_many('shop', 'mailer', '[{\"to\": \"bob@example.org\"}, {\"to\": \"eve@example.org\"}]')" >/dev/null

# Take up to ten for five minutes. All of one pull share one token.
work=$(sql -F '	' -c "SELECT token, id, data->>'to' FROM integration.pull('mailer', 10, '5 minutes')")
token=$(printf '%s\n' "$work" | head -n 1 | cut -f 1)
printf '%s\n' "$work" | cut -f 3

# It takes longer than thought.
sql -c "SELECT integration.extend('$token', '10 minutes')" >/dev/null

# The first is done. The second is to be tried again, after a delay; the third never.
set -- $(printf '%s\n' "$work" | cut -f 2)
sql -c "SELECT integration.ack('$token', ARRAY[$1])"
sql -c "SELECT status FROM integration.fail('$token', ARRAY[$2], 'mailbox full')"
sql -c "SELECT status FROM integration.fail('$token', ARRAY[$3], 'no such address', retry => false)"

# A token that holds nothing any more changes nothing, and says so.
if ! sql -c "SELECT integration.ack('$token')" 2>/tmp/functions.sh.$$; then
    grep '^ERROR' /tmp/functions.sh.$$
fi
rm -f /tmp/functions.sh.$$

# Once more, whatever became of it: a new record from the old one's data.
new=$(sql -c "SELECT integration.replay($1)")
[ "$new" -gt "$1" ] && echo "replayed"
token=$(sql -c "SELECT token FROM integration.pull('mailer')")
sql -c "SELECT integration.ack('$token')" >/dev/null
