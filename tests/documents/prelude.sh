# What the scripts of all pages begin with: commands for their hidden lines.
set -euo pipefail
exec </dev/null
if [ -n "${RELAY:-}" ]; then $RELAY & fi

at() { echo "@@ $1"; }

wait_for() { # URL: until it responds, or the server behind it has ended
    for _ in $(seq 300); do
        if curl -sf -o /dev/null "$1" || [ $? = 22 ]; then return; fi
        sleep 0.1
    done
    tail -n 30 ./*.log
    echo "Nothing responds at $1" >&2
    return 1
}

ready() { # until the server is ready
    for _ in $(seq 300); do
        if curl -sf -o /dev/null http://127.0.0.1:3616/readyz; then return; fi
        sleep 0.1
    done
    tail -n 30 ./*.log
    return 1
}

server() { # [VARIABLE=value]: a server with the settings that were given, and nothing in it
    env "$@" notification-management up > server.log 2>&1 &
    SERVER=$!
    ready
}

stop_server() {
    kill "$SERVER"
    wait "$SERVER" || true
}

stop() { # PID: the program that a block runs in the background
    pgrep -P "$1" | xargs kill
    wait "$1" || true
}

receiver() { # [PORT]: a receiver that writes each request to received.jsonl
    notification-management listen --json --port "${1:-3617}" > received.jsonl &
    wait_for "http://127.0.0.1:${1:-3617}/"
}

received_by() { # PORT: a receiver there, and an event of $ENVIRONMENT that it got
    receiver "$1"
    notification-management webhooks create --environment "$ENVIRONMENT" --url "http://127.0.0.1:$1/"
    notification-management events trigger job-completed --environment "$ENVIRONMENT" --event-id example
    arrived example
    notification-management settings --environment "$ENVIRONMENT" --json > settings.jsonl
}

example() { # [VARIABLE=value]: a server with a webhook, and an event that was delivered to it
    server "$@"
    receiver
    export ID=0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10
    export ENVIRONMENT=$ID ENVIRONMENT_ID=$ID
    export API=http://127.0.0.1:3615/api
    export WEBHOOK_ID
    WEBHOOK_ID=$(notification-management webhooks create --environment $ID \
        --url http://127.0.0.1:3617/ --json | jq -r .webhook_id)
    notification-management events trigger job-completed --environment $ID --event-id example
    arrived example
    notification-management settings --environment $ID --json > settings.jsonl
    export DELIVERY_ID
    DELIVERY_ID=$(notification-management deliveries list "$WEBHOOK_ID" --json | jq -rs '.[0].delivery_id')
}

arrived() { # EVENT_ID: until a request of it is in received.jsonl
    until_there "\"event_id\": *\"$1\"" received.jsonl
}

printed() { # TEXT: until a command in the background has printed it
    until_there "$1" "$HOME"/served-*.log
}

until_there() { # PATTERN FILE …
    for _ in $(seq 300); do
        if grep -qs "$@"; then return; fi
        sleep 0.1
    done
    tail -n 30 "${@:2}"
    echo "There is no $1." >&2
    return 1
}
