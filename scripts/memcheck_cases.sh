# The cases of the suite that run under memcheck where not all do; sourced by ./test. They are chosen
# for what they have the C library allocate and free: handshakes that end well and badly, in each
# state, alerts, certificates, stored sessions, output that waits, descriptors given back.
MEMCHECK_CASES=(
    handshake.completes
    handshake.in_pieces
    handshake.end_of_the_transport_is_truncation
    handshake.not_tls_is_refused_at_once
    handshake.data_behind_the_finished
    facts.chains_come_leaf_first
    data.vectored_writes_are_joined_ones
    data.empty_buffers_after_a_failure
    buffering.writes_need_not_be_repeated
    close.half_close
    close.reset_in_the_handshake
    close.drop_sends_nothing
    shutdown.before_tickets_were_read
    alerts.fatal_alert_in_the_handshake
    alerts.failures_stay_in_their_session
    client_certificates.bad_ones_are_refused
    post_handshake.received_tls13
    post_handshake.received_again_tls12
    post_handshake.bad_ones_are_refused_tls12
    resumption.bounded_cache_forgets_the_oldest_tls13
    config.garbage_certificates_and_keys
    context.may_go_before_its_sessions
    descriptor.given_back_with_what_was_not_read
    lifetime.dropped_in_every_state
    deferred.answers_out_of_place_change_nothing
    deferred.dropped_while_it_waits
)

# A case that is renamed would drop out in silence: none of the names may match nothing.
memcheck_cases_exist() { # the conformance program
    local case verdict=0
    for case in "${MEMCHECK_CASES[@]}"; do
        [[ -n $("$1" --list --filter "$case") ]] && continue
        echo "FAILED: scripts/memcheck_cases.sh: there is no case $case"
        verdict=1
    done
    return $verdict
}
