//! The list of all cases: area, name, rules, and what the case checks. This file is data, so it is
//! one file.

use super::{Case, CaseInfo};
use crate::Fixture;
use crate::rules::*;

macro_rules! list {
    ($($area:ident { $($name:ident [$($rule:ident)*] $about:literal;)* })*) => {
        /// All cases, in the order in which reports show them.
        pub const ALL: &[CaseInfo] = &[$($(CaseInfo {
            name: stringify!($name),
            area: stringify!($area),
            rules: &[$($rule),*],
            about: $about,
        },)*)*];

        /// Returns every case for fixture `F`, in the order of [`ALL`].
        pub fn all<F: Fixture>() -> Vec<Case<F>> {
            let runs: &[fn(&F) -> crate::Outcome] = &[$($(super::$area::$name::<F>,)*)*];
            ALL.iter().zip(runs).map(|(info, run)| Case { info, run: *run }).collect()
        }

        #[cfg(test)]
        const SOURCES: &[(&str, &str)] = &[$((
            stringify!($area),
            include_str!(concat!(stringify!($area), ".rs")),
        ),)*];
    };
}

list! {
    handles {
        wrap_is_the_stream [T1 R1]
            "A wrapper works on the very stream that the handle names, and returns that handle.";
        wrap_does_not_own [R1]
            "Dropping a wrapper leaves an idle stream alive.";
        wrap_dropped_while_pending [R1]
            "Dropping a wrapper while work is pending neither destroys the stream nor loses the work.";
        clone_is_the_same_stream [R6]
            "A clone is the same stream: it is equal, has the same hash, and its work is ordered with the original's.";
        clones_are_dropped_in_any_order [R1 R6]
            "The remaining wrappers keep working when a clone is dropped, whichever was made first.";
        wrappers_of_one_handle_are_equal [R6]
            "Two wrappers of one foreign handle are equal.";
        native_and_foreign_are_equal [R6 T1]
            "A stream that the backend created and a foreign wrapper of its handle are equal, and are held back together.";
        different_streams_differ [R6]
            "Two streams are not equal, nor is a stream equal to the default stream.";
        default_streams_of_two_devices_differ [R6]
            "The default streams of two devices have one handle and are not equal.";
        handle_zero_is_the_default_stream [R3]
            "Handle 0 is the device's default stream, and no other stream.";
        handle_one_is_the_default_stream [R3 R6]
            "Handle 1 is the default stream too.";
        handle_zero_without_a_device [R3 R2]
            "Without a device, handle 0 is the default stream of some device of the backend.";
        handle_two_is_refused [R3 C8]
            "Handle 2 is refused wherever a handle is taken, and the error names the call to use instead.";
        unchecked_wraps_the_same [T1 R2]
            "The unchecked function wraps the same stream if the device is right.";
    }
    devices {
        devices_are_listed [R2 C8]
            "The devices are numbered from 0, belong to the backend, and are those that the probe names.";
        device_comes_from_the_handle [R2]
            "Without a given device, a wrapper has the device of the handle.";
        device_given_right [R2]
            "The device of the handle is accepted as the given device.";
        device_given_wrong [R2 C8]
            "A wrong device is refused while wrapping, and the error names both.";
        device_that_is_not_there [R2 C8]
            "A device that does not exist is refused by every call that takes one, and the error names it.";
        device_of_another_backend [R2 C8]
            "Another backend's device is refused by every call that takes one, and the error names both backends.";
        owner_names_a_wrong_device [R2 C8]
            "Wrapping fails if the owner names the wrong device.";
        owner_and_caller_disagree [R2 C8]
            "Wrapping fails if the owner and the caller name different devices.";
        new_objects_are_on_their_device [R2]
            "New streams and events, and events from `record_event`, are on the requested device.";
        current_device_does_not_matter [R7]
            "Every call returns the same whichever device is current, and leaves that device current.";
        errors_leave_the_thread_as_found [R7]
            "A call that is refused, or that reports pending work, leaves the thread's state as it was.";
    }
    query {
        new_stream_is_done [R8 T2]
            "A stream without any submitted work is done.";
        query_is_false_while_pending [R8 T2]
            "Query returns false as long as a gate is closed, however often it is called, and never an error.";
        query_is_true_when_done [R8 T2]
            "Query returns true after synchronize, and true means that the work's effects are visible.";
        polling_comes_to_an_end [R8 T2]
            "Polling a stream ends, and then the effects of its work are visible.";
        synchronize_waits [T4]
            "Synchronize returns only when the work is done. Another thread opens the gate after the caller had every chance to return too early.";
        event_synchronize_waits [T4 T3]
            "Synchronize of an event returns only when the work before its record is done.";
        synchronize_of_a_done_stream [T4]
            "Synchronize of a stream that is done returns, however often it is called.";
        streams_are_independent [R8 T5]
            "A held stream does not affect the answers of another stream.";
    }
    order {
        stream_runs_in_order [R28]
            "Work of one stream runs in the order in which it was submitted.";
        wait_event_orders [T5]
            "Later work of the waiter runs after the event's record.";
        wait_does_not_delay_earlier_work [T5]
            "Work that was submitted to the waiter before the wait is not held back.";
        wait_stream_orders [T6]
            "Later work of the waiter runs after the other stream's work so far.";
        wait_stream_is_a_snapshot [R11]
            "Work that is submitted to the other stream after `wait_stream` is not waited for.";
        wait_for_itself_has_no_effect [R12]
            "A stream that waits for itself, by the same wrapper, a clone or another wrapper, continues.";
        wait_for_an_own_event [R12]
            "A stream that waits for an event of its own continues.";
        waits_do_not_block_the_host [R13]
            "No call except synchronize blocks on a closed gate: all of them return while the gate is still closed.";
        wait_for_an_unrecorded_event [R15 R16]
            "A wait for an event that was never recorded holds nothing back.";
        wait_for_a_complete_event [T5 R27]
            "A wait for an event that is complete holds nothing back.";
        wait_twice [T5]
            "Waiting for the same event twice has the effect of waiting once.";
        wait_across_devices [R14]
            "A stream of one device waits for an event and for a stream of another device.";
    }
    records {
        wait_binds_at_the_call [R27 R10]
            "A wait binds to the record that is current at the call: a later record of the same event does not hold the waiter.";
        earlier_waiter_keeps_the_old_record [R10 R27]
            "A wait for the first record stays bound to it when the event is recorded on another stream and completes there.";
        later_waiter_gets_the_new_record [R10]
            "A wait that is made after the second record waits for the second record.";
        second_record_replaces_the_first [R10]
            "Query, status and synchronize use the second record, even if the first is still pending.";
        record_again_on_one_stream [R10 T3]
            "After several records on one stream, the event stands for the last of them.";
        wait_before_the_first_record [R15 R27]
            "A wait that is made before the first record has no effect, and that record does not change this.";
        one_event_is_used_again_and_again [R10 R27]
            "Events that are recorded and waited for repeatedly order work from one stream to another and back.";
        dropped_event_holds_its_waiters [R17]
            "An event that is dropped while pending still holds back the streams that wait for it.";
        dropped_event_is_not_reused_too_early [R17]
            "A wait for a dropped pending event holds, whatever events are created and recorded afterwards. A pool may return the same driver event again.";
        events_are_dropped_at_any_time [R17]
            "An event may be dropped unrecorded, pending without waiters, or complete; its stream is not affected.";
        record_on_another_device [R14 C8]
            "A record on another device's stream is refused: the error names both devices, and the event is unchanged.";
    }
    events {
        unrecorded_event_is_done [R16]
            "An event that was never recorded has status `Unrecorded`, is done, and does not block.";
        status_follows_the_record [T3 R8]
            "An event is pending from its record on, and complete when the work before the record is done.";
        record_leaves_later_work_out [T3]
            "A record stands for the work before it, and for no later work.";
        record_event_is_new_and_untimed [R9 T3]
            "`record_event` makes a new event each time, recorded, and without timing.";
        options_are_kept [R18]
            "An event keeps no time unless its options ask for it, and returns the options that it was made with.";
        blocking_changes_nothing_else [R18]
            "A blocking event does everything that an ordinary event does.";
        interprocess_with_timing_is_refused [R21 C8]
            "Interprocess together with timing is refused when the options are built.";
        interprocess_is_never_ignored [R21 C8]
            "An interprocess event is made or refused as unsupported; it never silently becomes an ordinary one.";
        handles_of_events_are_their_own [R9]
            "Events that live at the same time have different handles, which do not change.";
        event_outlives_its_stream [R5 R30]
            "An event recorded on a stream that is dropped with its work pending still completes, and still orders.";
    }
    timing {
        elapsed_needs_timing [R19 C8]
            "An event without timing is refused, whatever else is missing, and the error says which event it is.";
        elapsed_needs_records [R19 C8]
            "An event that was never recorded is refused, even beside a pending one, and the error says which event it is.";
        elapsed_needs_complete_events [R19 C8]
            "A pending event is refused, and the error says which event it is.";
        elapsed_to_itself_is_zero [R19]
            "The elapsed time from an event to itself is 0.";
        elapsed_is_in_milliseconds [R19]
            "Elapsed time is in milliseconds: it lies, within a wide margin, between the host's measurements inside and outside of it.";
        elapsed_has_a_sign [R19]
            "Elapsed time in reversed order is negative and has the same size.";
        elapsed_across_streams [R19]
            "Elapsed time works between events of two streams of one device.";
        elapsed_uses_the_last_record [R19 R10]
            "Elapsed time uses the last record of each event.";
        elapsed_across_devices [R20 C8]
            "Elapsed time between two devices is refused before anything else, and the error names both.";
    }
    topology {
        fork_orders_every_branch [C1]
            "Every branch of a fork runs after the source's work so far.";
        fork_makes_one_record [C1]
            "All branches wait for one record, made at the call: work that is submitted to the source during the call holds back none of them.";
        fork_is_a_snapshot [C1 R11]
            "Work that is submitted to the source after a fork is not waited for.";
        fork_and_join_skip_the_stream_itself [C1 C2 R12]
            "A stream among its own branches is skipped, in a fork and in a join.";
        fork_and_join_of_nothing [C1 C2]
            "With no branch, fork and join do nothing.";
        join_waits_for_every_branch [C2]
            "After a join, later work waits for every branch, the last as well as the first.";
        join_is_a_snapshot [C2 R11]
            "Work that is submitted to a branch after the join is not waited for.";
        fork_and_join_in_rounds [C1 C2]
            "In repeated rounds of fork and join over many streams, each branch sees the number of its own round.";
        chain_of_streams [T6]
            "A number travels along a chain of streams, each of which waits for the previous one.";
        diamond [T6]
            "In a diamond, one stream to two and back to one, the end sees the work of both sides and of the beginning.";
        many_wait_for_one [T5]
            "Many streams wait for one event, and all of them continue when it is reached.";
        one_waits_for_many [T6]
            "One stream waits for many, and continues only after the last of them.";
        waits_are_transitive [T6]
            "Waits are transitive: in a chain of waits, the last stream waits for the first, too.";
    }
    capabilities {
        priority_range_holds_zero [C4]
            "The range of priorities contains the normal one, and the most urgent is the lowest number.";
        priority_is_kept [C4]
            "Every priority of the range is accepted and returned; a stream has the normal one unless its options say otherwise.";
        priority_out_of_range [C4 C8]
            "A priority outside of the range is refused, and the error names it and the range.";
        priority_changes_no_order [C4 T6]
            "Priorities do not change order: an urgent stream still waits for a less urgent one.";
        ids_are_unique [C5]
            "Two streams have two ids, all wrappers of one stream have one id, and a new stream does not get the id of a destroyed one.";
        capture_status_is_none [C7]
            "A stream that is not captured has capture status `None`, idle and pending.";
        host_function_is_in_order [C6 R28]
            "A host function runs after the work before it, and the work after it runs when the function has returned.";
        host_functions_do_not_overlap [R28 C6]
            "Two host functions of a stream never run at once: the next one starts after the previous one has returned.";
        host_function_is_dropped_before_done [R28 C6]
            "A host function has run, and everything it held is dropped, before the stream is done.";
    }
    lifetimes {
        stream_keeps_its_owner [R4 C9]
            "An owner lives as long as the wrapper, and is dropped with it.";
        clone_keeps_the_owner [R4 C9]
            "A clone keeps the owner alive, as the first wrapper did.";
        owner_is_shared [R4]
            "The program's own reference counts, too: dropping the wrapper does not drop the owner.";
        event_after_the_owner [R5 C9]
            "An event keeps the owner of its stream if `EVENTS_KEEP_OWNER` is set; otherwise it is valid without the owner.";
        event_recorded_again_drops_its_owner [R5 C9]
            "An event that is recorded on another stream drops its reference to the first stream's owner.";
        waiting_keeps_no_owner [C9]
            "An event that was only waited for keeps no reference to the waiter's owner.";
        pooled_events_keep_no_owner [C9]
            "`wait_stream` and `fork` keep no reference to the owner of the stream that was waited for.";
        failed_wrap_drops_the_owner [C9 C8]
            "The reference to the owner is dropped when wrapping fails.";
        owner_is_dropped_while_pending [R4 C9]
            "If a wrapper is dropped with work pending, the owner may be dropped, and the work still finishes.";
        owned_stream_finishes_its_work [R30]
            "If the last handle of an owned stream is dropped with much work pending, all of the work is done.";
        owned_streams_in_turn_lose_no_work [R30]
            "Streams that are made, given work and dropped, one after the other, lose no work.";
        wrapper_of_an_owned_stream [R1 R30]
            "A foreign wrapper of an owned stream neither prevents its destruction nor destroys it twice.";
    }
    threads {
        many_threads_one_stream [R22 R28]
            "If many threads submit to one stream, each thread's work keeps its order.";
        calls_work_on_a_fresh_thread [R7 R22]
            "Every call works on a thread that has nothing current and never called the driver.";
        values_are_dropped_on_another_thread [R22 R17]
            "Streams and events may be dropped on another thread than the one that made them.";
        one_event_from_many_threads [R22]
            "Threads that record one event and wait for it at the same time do not corrupt it.";
        threads_fork_and_join [R22 C1 C2]
            "Each thread forks from one stream and joins back to it; the end sees the work of all threads.";
        synchronize_beside_others [R22 T4]
            "One thread can synchronize while other threads query and submit.";
        per_thread_stream_is_one_within_a_thread [R22 R3]
            "All wrappers of a thread's own stream are one stream, which is held back through each of them.";
        per_thread_stream_differs_on_each_thread [R22 R3]
            "A thread's own stream is neither the default stream nor another thread's own stream.";
        per_thread_stream_has_ordinary_events [R22]
            "Events of a thread's own stream are ordinary: another thread can wait for them.";
        per_thread_stream_waits_and_is_waited_for [R22 T6]
            "A thread's own stream and an ordinary one wait for each other.";
        thousand_streams [R28 C1 C2]
            "A thousand streams, each with work that waits for one stream, all finish.";
        held_streams_do_not_block_another [R8 C1]
            "While as many streams are held back as the backend can hold, another one continues.";
        long_queue [R28]
            "A long queue that is submitted to one stream after a closed gate runs to its end in order.";
    }
    faults {
        fault_is_sticky [R29]
            "Every later call on the stream and its clones reports the fault, however often it is made.";
        query_of_a_fault_is_an_error [R29 R8]
            "Query after failed work returns an error, never true or false, on every wrapper of the stream.";
        other_streams_live [R29]
            "A fault does not affect other streams.";
        events_around_a_fault [R29]
            "An event recorded before the failing work is complete, and streams that wait for it continue; one recorded after it reports the fault.";
        waiter_gets_the_fault [R29]
            "A stream that waits for a record after the failed work gets the fault, too, and its work does not run.";
        work_after_a_fault_is_not_run [R29]
            "Work before the failing work is done, and work after it does not run.";
        functions_after_a_fault_are_dropped [R29 R28 R37]
            "Host functions after the failing work are dropped with what they hold, and do not run.";
        refused_record_leaves_the_event [R29]
            "A record that is refused because of a fault leaves the event as it was.";
        fault_ends_with_its_stream [R29]
            "A faulted stream can be dropped like any other, and a new stream has no fault.";
    }
    errors {
        destroyed_handle_is_refused [C8]
            "A handle whose stream was destroyed is not wrapped, and the error names it.";
        made_up_handle_is_refused [C8]
            "A number that never was a stream is not wrapped, and the error names it.";
        stream_destroyed_under_its_wrapper [C8 R8]
            "Every call on a wrapper returns an error after its foreign stream was destroyed.";
        bad_branch_does_not_affect_others [C8 C1 C2]
            "A fork or a join with a bad branch reports it, and the other branches wait and are waited for anyway.";
        synchronize_inside_work_is_refused [C8]
            "Synchronize of a stream or of an event is refused inside work that a stream runs.";
        errors_name_the_call [C8]
            "An error names the call that the program made, and not one that the backend makes for it.";
    }
    own_context {
        new_objects_fit_the_stream [C10 R2]
            "Events and streams that a stream creates are on its device and work with it. This holds on every device, for the backend's own streams, foreign ones, the default stream and the per-thread stream.";
        new_objects_in_another_context [C10]
            "A stream of another context than the device's primary one creates events and streams that work with it. It waits for ordinary streams, and they wait for it.";
        new_objects_keep_their_options [C10 C4 R18]
            "`new_stream` and `new_event` of a stream keep the options that they are given.";
    }
    foreign_events {
        foreign_event_is_waited_for [C11 T5]
            "A foreign event that another library has recorded holds back its waiters. Query, status and synchronize use that record.";
        foreign_event_is_recorded [C11 R10]
            "A record of a foreign event through the wrapper counts for the bare driver, too, and replaces the other library's record.";
        unrecorded_foreign_event [C11 R15 R16]
            "A foreign event that was never recorded is done, and a wait for it has no effect.";
        foreign_event_is_foreign [C11]
            "A wrapper returns the foreign handle and `is_foreign` is true; it is false for the backend's own events.";
        foreign_event_is_not_destroyed [C11]
            "Dropping wrappers destroys no foreign event, unrecorded, pending or complete, and no new event of the backend gets its handle.";
        foreign_event_keeps_its_owner [C11 C9]
            "The owner of a foreign event lives as long as the wrapper, also across records through it, and is dropped with it.";
        foreign_event_of_handle_zero [C11 C8]
            "Handle 0 is not an event, and the error names it.";
        foreign_event_of_another_device [C11 R14 C8]
            "A device that does not fit a foreign event is an error, while wrapping or at the first record.";
        our_event_recorded_by_another [C12]
            "If another library records an event of the backend, query, status, synchronize and waits use that record.";
        elapsed_of_foreign_records [C12 C11 R19]
            "Elapsed time uses the records that another library made, of foreign events and of the backend's own.";
    }
    blocking {
        blocking_is_never_ignored [R41 C8]
            "`blocking` is never ignored: the new stream reports it, or the call is refused as unsupported and the error names the option.";
        blocking_is_reported [R41]
            "A stream reports whether it is blocking: the backend's own, foreign ones by every wrapper, and the default stream.";
        blocking_orders_with_the_default_stream [R41]
            "Work of the default stream waits for earlier work of a blocking stream, own or foreign, and vice versa.";
        nonblocking_streams_are_independent [R41]
            "A stream that is not blocking continues while the default stream is held back, and vice versa.";
    }
    identity {
        equal_is_the_same [R40 R6]
            "Two streams are equal exactly if `is_same` is true, in both directions, and then their hashes are equal.";
        one_handle_on_two_devices [R40 R14]
            "The default streams of two devices have one handle and are two streams: a fork, a join and a wait order them.";
        namesake_is_another_backend [R40 C3 C8]
            "A backend of the same name and another type is another backend, even if device and handle are the same. A wait is refused as `BackendMismatch`, in both directions.";
    }
    captures {
        query_of_a_captured_stream [R23 R36 C7]
            "Query and synchronize of a captured stream are refused, and the capture survives; `capture_status` reports it.";
        event_of_a_capture [R24 R36]
            "An event recorded in a capture is `Capturing` while the capture lasts, `InvalidEvent` after it, and valid again once it is recorded outside.";
        waiter_is_taken_into_the_capture [R25]
            "A stream that waits for a captured one is captured, too: its later work becomes part of the graph.";
        library_in_a_capture [R31 C1 C2]
            "Inside a capture, a library that forks to its own streams, creates one, joins them and drops them adds its nodes and breaks nothing.";
        nested_forks_in_a_capture [R31 C1 C2]
            "Branches of a branch, joined in reverse, add their nodes and break nothing.";
        own_record_in_a_capture [R32 R12]
            "A captured stream that waits for its own latest record, or for itself, continues, and its graph gets no extra node.";
        wait_for_uncaptured_work [R33]
            "A captured stream that would wait for work outside its capture is refused before anything breaks, whichever call requests it. The text names both.";
        wait_between_captures [R34]
            "A wait of a captured stream for another capture is refused, the text names both, and both captures survive.";
        host_function_in_a_capture [R35 R37]
            "A host function for a captured stream is refused and dropped, and the text gives the reason: a graph may be launched many times.";
        queries_beside_a_capture [R36]
            "Queries of streams outside a capture leave it alive, on its own thread and on another, in every mode.";
    }
    ends {
        functions_after_a_panic_are_dropped [R37 R29]
            "Host functions after one that panicked are dropped without being run. A receiver that waits for one sees its sender dropped, without another call.";
        refused_function_is_dropped [R37]
            "A host function that is refused is dropped before the call returns.";
        destructor_waits_for_another_caller [R38]
            "An owner's destructor can wait until another thread has made every call on the same source: none of those calls waits for the destructor.";
        panicking_destructor_harms_no_caller [R38]
            "Owners whose destructors panic, dropped in host functions, harm no caller: every call of other threads returns, and no other owner is lost.";
        destructor_calls_the_backend [R38]
            "A destructor may call the backend: it queries, records, waits and creates streams.";
        destructor_queries_the_event_that_kept_it [R38]
            "An owner that is dropped because its event is dropped or recorded on another stream may query and record that event.";
        dropped_owners_do_not_accumulate [C13]
            "Owners that are dropped in host functions do not accumulate: after 2,000 rounds of a host function and a synchronize, few are alive.";
    }
    reset {
        reset_is_reported_and_survived [R39]
            "After a reset, earlier streams and events return `ContextDestroyed` and can be dropped, and a new stream works.";
        reset_is_reported_by_elapsed_since [R39]
            "`elapsed_since` of events from before a reset returns `ContextDestroyed`, also if another library uses the device again.";
        reset_is_reported_by_wait_event [R39]
            "A wait for an event from before a reset, or by such a stream, is `ContextDestroyed` once the device is in use again.";
        reset_is_reported_by_record [R39]
            "A record of an event from before a reset, or on such a stream, is `ContextDestroyed` once the device is in use again.";
        reset_leaves_nothing_stale [R39]
            "After a reset without live streams or events, every call works: nothing that was cached before is used.";
    }
    retention {
        value_is_kept_for_each_stream [K1 K2]
            "A value of three streams is kept while a gate holds back any one of them.";
        mark_covers_the_last_value [K1]
            "A value is kept by work that was submitted after an earlier value came into the same batch.";
        many_values_are_dropped_in_order [K4 K1]
            "Many values of one stream are all kept while a gate is closed, and are then dropped in the order of their retains.";
        later_work_keeps_no_value [K2]
            "Work that is submitted after a collect holds back no value from before it, also if older values were pending by then.";
        events_are_used_again [K1 K2]
            "A value is kept by its own work when the events of earlier values, which are reached, are used again.";
        drain_waits_for_all_values [K2]
            "Drain returns only after all values are dropped. Another thread opens the gate after the caller had every chance to return too early.";
        values_are_dropped_on_the_callers_thread [K3]
            "Values are dropped by the call of collect and on its thread, and not when the stream is done.";
        destructor_uses_the_reclaimer [K3]
            "A destructor may call the reclaimer and the backend, and may wait for a thread that does.";
        dropped_reclaimer_keeps_its_values [K1]
            "Dropping a reclaimer neither blocks nor drops a value that a stream still uses: the reclaimer of the process drops the value later.";
        owners_live_as_long_as_their_values [K9 C9]
            "A stream's owner lives until the values of the stream are dropped, marked or not, and that an earlier wrapper's owner is not kept for later values.";
        streams_of_two_devices_keep_a_value [K1]
            "A value of streams of two devices is kept while either of them is held back.";
        per_thread_stream_keeps_a_value [K1 R22]
            "A thread's default stream keeps a value, and that another thread may drop it.";
        release_waits_for_all_users [K8]
            "`release_on` drops the value before it returns and on the calling thread, and that later work of the home stream waits for each of the users.";
    }
    retention_failures {
        panic_in_a_destructor [K6]
            "If destructors panic, the other values are dropped all the same, and the caller gets the first panic.";
        fault_keeps_its_values [K5 K7]
            "Values behind a fault are neither dropped nor lost, and that the failed stream takes no further value.";
        fault_keeps_no_other_value [K5 K2]
            "A fault keeps a value that another stream shares with the failed one, and no value of other streams alone.";
        reset_keeps_the_values [K5]
            "Values of a context that was reset are neither dropped nor lost.";
        captured_stream_takes_no_value [K7]
            "A stream that is being captured takes no value, and that its capture survives and gets no node.";
        capture_after_a_retain [K2 K7 R36]
            "Collect and drain leave a capture alive that began after a retain, and that the value is dropped after it.";
    }
    awaits {
        future_is_pending_until_the_work_is_done [W1]
            "A future is pending while a gate holds the work back, and then is `Ok`, with the work done.";
        later_work_is_not_awaited [W1]
            "A future does not wait for work that is submitted after the call.";
        per_thread_stream_is_awaited [W1 R22]
            "A thread's default stream can be awaited on another thread, and that another thread's is not waited for.";
        task_is_woken_once [W2]
            "A task that has polled once is woken once, and that the future is ready then.";
        latest_task_is_woken [W2]
            "If two tasks have polled a future, the later one is woken, and the earlier one is not.";
        no_wake_up_is_lost [W2]
            "Each of many tasks that poll once, at any time while the work ends, is woken or finds the work done.";
        blocking_waker_holds_no_stream [W4]
            "The stream goes on while the waker of an awaiting task blocks.";
    }
    await_failures {
        fault_ends_its_futures [W3]
            "Work that fails before the call makes an error of each future, and of a later call.";
        reset_ends_its_futures [W3]
            "A reset makes an error of a future that is polled after it, and that a future that was polled before is ready, too.";
        captured_stream_is_not_awaited [W5]
            "A captured stream cannot be awaited, and that the call leaves its capture alive and adds no node, in each mode.";
        capture_during_the_call_is_noticed [W5]
            "The call is refused if another thread begins a capture between the call's query and its record, and that the capture lives.";
        capture_within_the_call_is_an_error [W1 W5]
            "A capture that has the record, and is over when the call ends, makes an error of the future.";
        capture_of_another_stream_survives [W5 R36]
            "Awaits leave the capture of another stream alive, in each mode.";
        capture_that_begins_later_is_outlasted [W1 W5]
            "A capture of the stream that begins after the call survives, and that the future is `Ok` at the latest when the capture has ended.";
    }
    racing {
        own_submission_is_covered_by_query [T2 R22]
            "Query is false while work that the calling thread has just submitted is held back, whatever another thread submits meanwhile.";
        own_submission_is_covered_by_a_record [T3 R22]
            "A record stands for what its thread has just submitted, whatever another thread submits meanwhile.";
        own_submission_is_waited_for [T4 R22]
            "Synchronize of the stream and of an event waits for what the calling thread has just submitted, whatever another thread submits meanwhile.";
        synchronize_keeps_its_record [R10 R27 T4]
            "Synchronize of an event waits for the record that is current at the call, and for no later one. Meanwhile another thread records the event repeatedly.";
        event_recorded_again_is_pending [R10 R22]
            "An event that is recorded repeatedly never appears unrecorded, nor complete before the work of its record is done.";
    }
    panics {
        payload_that_panics [R29 C6]
            "If a host function panics with a value whose drop panics, the stream reports a fault, later functions are dropped, and other streams live.";
        dropped_function_that_panics [R29 R28]
            "Functions after failed work are all dropped, even if dropping each of them panics.";
    }
    priorities {
        middle_priority_has_its_turn [C14 C4]
            "A stream of middle priority runs beside many streams of the highest and the lowest priority that never run out of work.";
    }
    owners {
        owner_that_keeps_its_event [C9 R5]
            "An owner that keeps an event of its own stream is dropped when that event is dropped, or recorded on another stream.";
        owner_is_dropped_inside_a_record [C9 R10]
            "An owner shares the event that keeps it. It may be dropped inside the record that releases it, and may call the backend there.";
    }
    dynamic {
        object_returns_the_same_properties [C3]
            "Handle, device, backend and options of an object are those of the typed form.";
        object_orders_the_same [C3 T5 T6]
            "A wait through the object holds back the same work as a wait through the type.";
        object_times_the_same [C3 R19]
            "Elapsed time through the objects has the typed form's errors and results.";
        object_has_the_same_capabilities [C3]
            "The optional capabilities of an object return what the typed form returns.";
        object_wraps_the_same [C3 R1]
            "Wrapping through the object neither owns nor destroys, and checks the device.";
        object_keeps_the_errors [C3 C8]
            "An error of an object keeps its kind and its text.";
        object_makes_the_same_objects [C3 C10 R41]
            "The streams and events that an object creates in its own context are those of the typed form, and so is `is_blocking`.";
        object_wraps_events [C3 C11]
            "A foreign event that is wrapped through the object holds back its waiters, keeps its owner and is not destroyed.";
        event_of_another_vendor [C3 C8]
            "Another vendor's event is refused by record, wait and elapsed time, and the error names both vendors.";
        stream_of_another_vendor [C3 C8]
            "Another vendor's stream is refused by a wait, and the error names both vendors.";
        object_of_the_per_thread_stream [C3 R22]
            "The per-thread stream as an object is the typed form's stream, and waits work in both directions.";
    }
}

#[cfg(test)]
mod tests;
