//! The one list of cases: area, name, rules, and what the case shows.

use super::{Case, CaseInfo};
use crate::Fixture;
use crate::rules::*;

macro_rules! list {
    ($($area:ident { $($name:ident [$($rule:ident)*] $about:literal;)* })*) => {
        /// Every case, in the order in which reports show them.
        pub const ALL: &[CaseInfo] = &[$($(CaseInfo {
            name: stringify!($name),
            area: stringify!($area),
            rules: &[$($rule),*],
            about: $about,
        },)*)*];

        /// Every case for fixture `F`, in the order of [`ALL`].
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
            "A wrapper works on the very stream that the handle names, and gives the handle back.";
        wrap_does_not_own [R1]
            "Dropping a wrapper leaves an idle stream alive.";
        wrap_dropped_while_pending [R1]
            "Dropping a wrapper while work is pending neither destroys the stream nor loses the work.";
        clone_is_the_same_stream [R6]
            "A clone is the same stream: equal, with the same hash, and in one order with the original.";
        clones_are_dropped_in_any_order [R1 R6]
            "The wrappers that are left go on when a clone is dropped, whichever was first.";
        wrappers_of_one_handle_are_equal [R6]
            "Two wrappers of one foreign handle are equal.";
        native_and_foreign_are_equal [R6 T1]
            "A stream of our own and a foreign wrapper of its handle are equal, and are held back together.";
        different_streams_differ [R6]
            "Two streams are not equal, and neither are a stream and the default stream.";
        default_streams_of_two_devices_differ [R6]
            "The default streams of two devices have one handle and are still not equal.";
        handle_zero_is_the_default_stream [R3]
            "Handle 0 is the device's default stream, and not some other.";
        handle_one_is_the_default_stream [R3 R6]
            "Handle 1 is the default stream too.";
        handle_zero_without_a_device [R3 R2]
            "Without a device, handle 0 is the default stream of some device of the backend.";
        handle_two_is_refused [R3 C8]
            "Handle 2 is refused wherever a handle is taken, and the error says what to call instead.";
        unchecked_wraps_the_same [T1 R2]
            "The unchecked way wraps the same stream when the device is right.";
    }
    devices {
        devices_are_listed [R2 C8]
            "The devices are numbered from 0, belong to the backend, and are those that the probe names.";
        device_comes_from_the_handle [R2]
            "Without a device, a wrapper has that of the handle.";
        device_given_right [R2]
            "A right device is accepted.";
        device_given_wrong [R2 C8]
            "A wrong device is refused while wrapping, and the error names both.";
        device_that_is_not_there [R2 C8]
            "A device that is not there is refused by every call that takes one, and the error names it.";
        device_of_another_backend [R2 C8]
            "Another backend's device is refused by every call that takes one, and the error names both backends.";
        owner_names_a_wrong_device [R2 C8]
            "An owner that names the wrong device is found.";
        owner_and_caller_disagree [R2 C8]
            "An owner and a caller that name different devices are found.";
        new_things_are_on_their_device [R2]
            "New streams and events, and events that `record_event` makes, are of the device that was asked for.";
        current_device_does_not_matter [R7]
            "Every call answers the same whichever device is current, and leaves that device current.";
        errors_leave_the_thread_as_found [R7]
            "A call that is refused, or whose answer is that work is pending, leaves the thread's state as it was.";
    }
    query {
        new_stream_is_done [R8 T2]
            "A stream that nothing was submitted to is done.";
        query_is_false_while_pending [R8 T2]
            "Query is false as long as a gate is shut, however often it is asked, and never an error.";
        query_is_true_when_done [R8 T2]
            "Query is true after synchronize, and true means that the work's effects are there.";
        polling_comes_to_an_end [R8 T2]
            "A stream that is polled comes to its end, and then its effects are there.";
        synchronize_waits [T4]
            "Synchronize returns only when the work is done. Another thread opens the gate once the caller has had every chance to return too early.";
        event_synchronize_waits [T4 T3]
            "Synchronize of an event returns only when the work before its record is done.";
        synchronize_of_a_done_stream [T4]
            "Synchronize of a stream that is done returns, again and again.";
        streams_are_independent [R8 T5]
            "A held stream says nothing about another.";
    }
    order {
        stream_runs_in_order [R28]
            "Work of one stream runs in the order in which it was submitted.";
        wait_event_orders [T5]
            "Later work of the waiter runs after the event's record.";
        wait_spares_earlier_work [T5]
            "Work that the waiter was given before the wait is not held back.";
        wait_stream_orders [T6]
            "Later work of the waiter runs after the other stream's work so far.";
        wait_stream_is_a_snapshot [R11]
            "Work that the other stream is given after `wait_stream` is not waited for.";
        wait_for_oneself_is_nothing [R12]
            "A stream that waits for itself, by the same wrapper, a clone or another wrapper, goes on.";
        wait_for_an_own_event [R12]
            "A stream that waits for an event of its own goes on.";
        waits_do_not_block_the_host [R13]
            "No call but synchronize waits for a shut gate: they all return, and the gate is still shut.";
        wait_for_an_unrecorded_event [R15 R16]
            "A wait for an event that was never recorded holds nothing back.";
        wait_for_a_complete_event [T5 R27]
            "A wait for an event that is complete holds nothing back.";
        wait_twice [T5]
            "Waiting for the same event twice is as waiting once.";
        wait_across_devices [R14]
            "A stream of one device waits for an event and for a stream of another.";
    }
    records {
        wait_binds_at_the_call [R27 R10]
            "A wait binds to the record that is current at the call: a later record of the same event does not hold the waiter.";
        earlier_waiter_keeps_the_old_record [R10 R27]
            "Who waits for the first record keeps waiting for it when the event is recorded elsewhere and done there.";
        later_waiter_gets_the_new_record [R10]
            "Who waits after the second record waits for the second.";
        record_replaces_for_who_asks [R10]
            "Query, status and synchronize speak of the second record, also when the first is still pending.";
        record_again_on_one_stream [R10 T3]
            "Records on one stream: the event stands for the last of them.";
        wait_before_the_first_record [R15 R27]
            "A wait made before the first record is nothing, and that record does not make it one.";
        one_event_is_used_again_and_again [R10 R27]
            "One event, recorded and waited for in turn by two streams, hands work to and fro.";
        dropped_event_holds_its_waiters [R17]
            "An event that is dropped while pending still holds who waits for it.";
        dropped_event_is_not_reused_too_early [R17]
            "Events that are made and recorded after a pending one was dropped do not let its waiter go: a pool may hand out the same driver event again.";
        events_are_dropped_at_any_time [R17]
            "An event may be dropped unrecorded, pending with nobody waiting, and complete; its stream does not mind.";
        record_on_another_device [R14 C8]
            "An event is not recorded on another device's stream: the error names both devices, and the event is as before.";
    }
    events {
        unrecorded_event_is_done [R16]
            "An event that was never recorded says so, is done, and does not block.";
        status_follows_the_record [T3 R8]
            "An event is pending from its record on, and complete when the work before it is done.";
        record_leaves_later_work_out [T3]
            "A record stands for the work before it and for nothing after it.";
        record_event_is_new_and_untimed [R9 T3]
            "`record_event` makes a new event each time, recorded, and without timing.";
        options_are_kept [R18]
            "An event keeps no time unless it is asked to, and says how it was made.";
        blocking_changes_nothing_else [R18]
            "A blocking event does everything that another does.";
        interprocess_with_timing_is_refused [R21 C8]
            "Interprocess together with timing is refused when the options are built.";
        interprocess_is_never_ignored [R21 C8]
            "An interprocess event is made, or refused as unsupported; it is never quietly an ordinary one.";
        handles_of_events_are_their_own [R9]
            "Events that live at the same time have handles of their own, which do not change.";
        event_outlives_its_stream [R5 R30]
            "An event recorded on a stream that is dropped with its work pending still completes, and still orders.";
    }
    timing {
        elapsed_needs_timing [R19 C8]
            "An event without timing is refused, whatever else is missing, and the error says which it is.";
        elapsed_needs_records [R19 C8]
            "An event that was never recorded is refused, also beside a pending one, and the error says which it is.";
        elapsed_needs_complete_events [R19 C8]
            "An event that is pending is refused, and the error says which it is.";
        elapsed_to_itself_is_zero [R19]
            "An event and itself are 0 milliseconds apart.";
        elapsed_is_in_milliseconds [R19]
            "Elapsed time is in milliseconds: it lies between what the host measured inside and outside of it, by a wide margin.";
        elapsed_has_a_sign [R19]
            "Elapsed time in reversed order is negative, and the same.";
        elapsed_across_streams [R19]
            "The two events may be of two streams of one device.";
        elapsed_uses_the_last_record [R19 R10]
            "Elapsed time speaks of the last record.";
        elapsed_across_devices [R20 C8]
            "Elapsed time between two devices is refused before anything else, and the error names both.";
    }
    topology {
        fork_orders_every_branch [C1]
            "Every branch of a fork runs after the source's work so far.";
        fork_makes_one_record [C1]
            "All branches wait for one record, that of the call: what the source is given meanwhile holds none of them.";
        fork_is_a_snapshot [C1 R11]
            "Work that the source is given after a fork is not waited for.";
        fork_and_join_pass_oneself_over [C1 C2 R12]
            "A stream among its own branches is passed over, in a fork and in a join.";
        fork_and_join_of_nothing [C1 C2]
            "With no branch, fork and join do nothing.";
        join_waits_for_every_branch [C2]
            "After a join, later work waits for every one of the branches, the last as much as the first.";
        join_is_a_snapshot [C2 R11]
            "Work that a branch is given after the join is not waited for.";
        fork_and_join_in_rounds [C1 C2]
            "Out to many streams and back, over and over: each round sees the numbers of the round before.";
        chain_of_streams [T6]
            "A number travels along a chain of streams, each of which waits for the one before.";
        diamond [T6]
            "One stream to two and back to one: the end sees the work of both sides, and of the beginning.";
        many_wait_for_one [T5]
            "Many streams wait for one event, and all of them go on when it is reached.";
        one_waits_for_many [T6]
            "One stream waits for many, and goes on only after the last of them.";
        waits_are_transitive [T6]
            "A join of branches in a chain of forks: the waiter of a waiter waits too.";
    }
    capabilities {
        priority_range_holds_zero [C4]
            "The range of priorities contains the normal one, and the most urgent is the lowest number.";
        priority_is_kept [C4]
            "Every priority of the range is accepted and given back; a stream has the normal one unless asked.";
        priority_out_of_range [C4 C8]
            "A priority outside of the range is refused, and the error names it and the range.";
        priority_changes_no_order [C4 T6]
            "Order holds whatever the priorities are: an urgent stream that waits for one that is not still waits.";
        ids_are_unique [C5]
            "Two streams have two ids, wrappers of one stream have one, and a new stream does not get that of a stream that is gone.";
        capture_status_is_none [C7]
            "A stream that is not captured says so, idle and pending.";
        host_function_is_in_order [C6 R28]
            "A host function runs after the work before it, and the work after it runs when it has returned.";
        host_functions_do_not_overlap [R28 C6]
            "A stream's functions never run two at once, and the next one starts when the one before has returned.";
        host_function_is_dropped_before_done [R28 C6]
            "A host function has run and what it held is dropped before the stream says that it is done.";
    }
    lifetimes {
        stream_keeps_its_owner [R4 C9]
            "An owner lives as long as the wrapper does, and is let go with it.";
        clone_keeps_the_owner [R4 C9]
            "A clone keeps the owner as well as the first wrapper did.";
        owner_is_shared [R4]
            "The program's own share counts too: the wrapper's end is not the owner's.";
        event_after_the_owner [R5 C9]
            "An event keeps the owner of the stream where the backend says that it does, and is good without it elsewhere.";
        event_recorded_again_lets_go [R5 C9]
            "An event that is recorded elsewhere lets the first stream's owner go.";
        waiting_keeps_no_owner [C9]
            "An event that was only waited for keeps nothing of the waiter.";
        pooled_events_keep_no_owner [C9]
            "`wait_stream` and `fork` leave nothing behind that keeps the owner of the stream that was waited for.";
        failed_wrap_lets_the_owner_go [C9 C8]
            "A share in the owner is given up when wrapping fails.";
        owner_goes_while_pending [R4 C9]
            "A wrapper dropped with work pending: the owner may go, and the work still comes to its end.";
        owned_stream_finishes_its_work [R30]
            "The last handle of an owned stream is dropped with much work pending: all of it is done.";
        owned_streams_come_and_go [R30]
            "Streams that are made, given work and dropped, one after the other, lose none of it.";
        wrapper_of_an_owned_stream [R1 R30]
            "A foreign wrapper of an owned stream does not keep it from being destroyed, nor destroys it twice.";
    }
    threads {
        many_threads_one_stream [R22 R28]
            "Many threads submit to one stream: each one's work keeps its order.";
        calls_work_on_a_fresh_thread [R7 R22]
            "Every call answers on a thread that has nothing current and never called the driver.";
        things_are_dropped_elsewhere [R22 R17]
            "Streams and events may be dropped on another thread than the one that made them.";
        one_event_from_many_threads [R22]
            "Threads that record one event and wait for it at the same time do not harm it.";
        threads_fork_and_join [R22 C1 C2]
            "Each thread forks from one stream and joins back to it; the end sees all their work.";
        synchronize_beside_others [R22 T4]
            "One thread synchronizes while others query and submit.";
        own_stream_is_one_within_a_thread [R22 R3]
            "A thread's own stream is held when it is held, by whichever wrapper.";
        own_stream_is_another_on_each_thread [R22 R3]
            "The thread's own stream is neither the default stream nor another thread's.";
        own_stream_has_ordinary_events [R22]
            "Events of a thread's own stream are ordinary: another thread waits for them.";
        own_stream_waits_and_is_waited_for [R22 T6]
            "A thread's own stream and an ordinary one wait for each other.";
        thousand_streams [R28 C1 C2]
            "A thousand streams, each with work that waits for one, all come to their end.";
        held_streams_leave_room [R8 C1]
            "While as many streams are held back as the backend can hold, another one goes on.";
        long_queue [R28]
            "A long queue on one stream is submitted behind a shut gate, and runs to its end in order.";
    }
    faults {
        fault_is_sticky [R29]
            "Every later call on the stream and its clones reports the fault, again and again.";
        query_of_a_fault_is_an_error [R29 R8]
            "Query after failed work is an error, and never true or false, by every wrapper of the stream.";
        other_streams_live [R29]
            "Other streams know nothing of a fault.";
        events_around_a_fault [R29]
            "An event that was recorded before the work that fails is complete; one recorded behind it reports the fault.";
        waiter_gets_the_fault [R29]
            "A stream that waits for a record behind the failed work gets the fault too, and its work does not run.";
        work_behind_a_fault_is_not_run [R29]
            "Work before the one that fails is done, work behind it is not run.";
        functions_behind_a_fault_are_dropped [R29 R28 R37]
            "Host functions behind the work that fails are dropped with what they hold, without being run.";
        refused_record_leaves_the_event [R29]
            "A record that is refused for a fault leaves the event as it was.";
        fault_goes_with_its_stream [R29]
            "A stream with a fault is dropped like any other, and a new one is without it.";
    }
    errors {
        destroyed_handle_is_refused [C8]
            "A handle whose stream was destroyed is not wrapped, and the error names it.";
        made_up_handle_is_refused [C8]
            "A number that never was a stream is not wrapped, and the error names it.";
        destroyed_under_its_wrapper [C8 R8]
            "Every call on a wrapper whose foreign stream was destroyed is an error, and never an answer.";
        bad_branch_spoils_no_other [C8 C1 C2]
            "A fork or a join that meets a bad branch reports it, and the other branches wait and are waited for all the same.";
        synchronize_inside_work_is_refused [C8]
            "Synchronize from inside work that a stream runs is refused, of the stream itself and of an event.";
    }
    kin {
        kin_fit_the_stream [C10 R2]
            "The events and streams that a stream makes are of its device and fit it: our own streams, foreign ones, the default stream and a thread's own, on every device.";
        kin_of_a_stream_in_another_context [C10]
            "A stream of another context than the device's own makes events and streams that fit it, waits for ordinary streams, and is waited for.";
        kin_keep_their_options [C10 C4 R18]
            "`new_stream` keeps the options that it is given, and `new_event` too.";
    }
    foreign_events {
        foreign_event_is_waited_for [C11 T5]
            "A foreign event that another library has recorded holds back who waits for it, and answers query, status and synchronize by that record.";
        foreign_event_is_recorded [C11 R10]
            "A record of a foreign event by us is one for the bare driver, too, and replaces that of the other library.";
        unrecorded_foreign_event [C11 R15 R16]
            "A foreign event that nothing has recorded is done, and a wait for it is nothing.";
        foreign_event_says_so [C11]
            "A wrapper gives the handle back and says that the event is foreign; our own events say that they are not.";
        foreign_event_is_not_destroyed [C11]
            "Dropping wrappers destroys no foreign event, unrecorded, pending or complete, and our new events do not get its handle.";
        foreign_event_keeps_its_owner [C11 C9]
            "An owner of a foreign event lives as long as the wrapper does, also across records of ours, and goes with it.";
        foreign_event_of_handle_zero [C11 C8]
            "Handle 0 is no event, and the error says so.";
        foreign_event_of_another_device [C11 R14 C8]
            "A device that does not fit a foreign event is found: while wrapping, or at the first record.";
        our_event_recorded_by_another [C12]
            "An event of ours that another library records answers by that record: query, status, synchronize and waits.";
        elapsed_of_foreign_records [C12 C11 R19]
            "Elapsed time is that between the records of another library, of foreign events and of ours.";
    }
    blocking {
        blocking_is_never_ignored [R41 C8]
            "`blocking` is never ignored: the stream is made and says so, or it is refused as unsupported, and the error names the option.";
        blocking_is_told [R41]
            "A stream says whether it is blocking: our own, foreign ones by every wrapper, and the default stream.";
        blocking_orders_with_the_default_stream [R41]
            "Work of the default stream waits for earlier work of a blocking stream, ours or foreign, and the other way round.";
        ordinary_streams_spare_the_default_stream [R41]
            "A stream that is not blocking goes on while the default stream is held, and the default stream while that stream is.";
    }
    identity {
        equal_is_the_same [R40 R6]
            "Two streams are equal exactly if they are the same by `is_same`, in both directions, and then their hashes are equal.";
        one_handle_on_two_devices [R40 R14]
            "The default streams of two devices have one handle and are two streams: a fork, a join and a wait order them.";
        namesake_is_another_backend [R40 C3 C8]
            "A backend of the same name and another type is another backend, though its stream has the same device and handle: a wait is refused as `BackendMismatch`, both ways.";
    }
    captures {
        question_about_a_captured_stream [R23 R36 C7]
            "Query and synchronize of a captured stream are refused, and the capture lives; `capture_status` tells it.";
        event_of_a_capture [R24 R36]
            "An event that was recorded in a capture is `Capturing` while that goes on, `InvalidEvent` after it, and good again once it is recorded outside.";
        waiter_is_taken_into_the_capture [R25]
            "A stream that waits for a captured one is captured, too: what it is given goes into the graph.";
        library_in_a_capture [R31 C1 C2]
            "A library that forks to streams of its own, makes one, joins them and drops them inside a capture adds its nodes and breaks nothing.";
        nested_forks_in_a_capture [R31 C1 C2]
            "Branches of a branch, joined in reverse, add their nodes and break nothing.";
        own_record_in_a_capture [R32 R12]
            "A captured stream that waits for its own latest record, or for itself, goes on, and its graph has no node more.";
        wait_for_uncaptured_work [R33]
            "A captured stream that would wait for work outside its capture is refused before anything breaks, whichever call asks for it, and the text names both.";
        wait_between_captures [R34]
            "A wait of a captured stream for another capture is refused, both are named, and both captures live.";
        host_function_in_a_capture [R35 R37]
            "A host function for a captured stream is refused and dropped, and the text gives the reason: a graph may be launched many times.";
        questions_beside_a_capture [R36]
            "Questions about streams outside of a capture leave it alive, of its own thread and of another, in every mode.";
    }
    ends {
        functions_behind_a_panic_are_dropped [R37 R29]
            "Host functions behind one that panicked are dropped unrun: a receiver that waits for one sees the sender go, without another call.";
        refused_function_is_dropped [R37]
            "A host function that is refused is dropped before the call returns.";
        destructor_waits_for_another_caller [R38]
            "An owner whose destructor waits until another thread has made every call on the same source: none of those calls waits for the destructor.";
        panicking_destructor_harms_no_caller [R38]
            "Owners whose destructors panic, dropped in host functions, harm no caller: every call of other threads comes back, and no other owner is lost.";
        destructor_calls_the_backend [R38]
            "A destructor may call the backend: it asks, records, waits and makes streams.";
        destructor_asks_the_event_that_kept_it [R38]
            "An owner that is dropped because its event is recorded elsewhere, or dropped, may ask that event and record it.";
        dropped_owners_do_not_pile_up [C13]
            "Owners that are dropped in host functions do not pile up: 2,000 rounds of a host function and a synchronize leave a handful.";
    }
    reset {
        reset_is_told_and_got_over [R39]
            "After a reset the streams and events that were made before answer `ContextDestroyed`, can be dropped, and a new stream works.";
        reset_is_told_by_elapsed_since [R39]
            "Events of before a reset answer `ContextDestroyed` to `elapsed_since`, also if another library uses the device again.";
        reset_is_told_by_wait_event [R39]
            "A wait for an event of before a reset, or by such a stream, is `ContextDestroyed` once the device is in use again.";
        reset_is_told_by_record [R39]
            "A record of an event of before a reset, or on such a stream, is `ContextDestroyed` once the device is in use again.";
        reset_leaves_nothing_stale [R39]
            "After a reset with nothing of ours alive, every call works: what was kept for later use is not used.";
    }
    racing {
        own_submission_is_covered_by_query [T2 R22]
            "Query is false while what the asking thread has just submitted is held back, whatever another thread submits meanwhile.";
        own_submission_is_covered_by_a_record [T3 R22]
            "A record stands for what its thread has just submitted, whatever another thread submits meanwhile.";
        own_submission_is_waited_for [T4 R22]
            "Synchronize, of the stream and of an event, waits for what its thread has just submitted, whatever another thread submits meanwhile.";
        synchronize_keeps_its_record [R10 R27 T4]
            "Synchronize of an event waits for the record that is current at the call, and for no later one, while another thread records the event again and again.";
        event_recorded_again_is_pending [R10 R22]
            "An event that is recorded again and again does not look unrecorded, nor done before the work of its record is.";
    }
    panics {
        payload_that_panics [R29 C6]
            "A host function panics with a value whose own drop panics: the stream reports a fault, what is behind it ends, and other streams live.";
        dropped_function_that_panics [R29 R28]
            "Functions behind failed work are all dropped, also if dropping each of them panics.";
    }
    priorities {
        middle_priority_has_its_turn [C14 C4]
            "A stream of middle priority gets its turn beside many streams of the highest and of the lowest that never run out of work.";
    }
    owners {
        owner_that_keeps_its_event [C9 R5]
            "An owner that keeps an event of its own stream is let go when that event is dropped, or recorded elsewhere.";
        owner_goes_inside_a_record [C9 R10]
            "An owner that shares the event which kept it may end inside the record that lets it go, and call the backend there.";
    }
    dynamic {
        object_says_the_same [C3]
            "Handle, device, backend and options are those of the typed form.";
        object_orders_the_same [C3 T5 T6]
            "A wait by way of the object holds back what a wait by way of the type does.";
        object_times_the_same [C3 R19]
            "Elapsed time by way of the objects has the typed form's errors and answers.";
        object_has_the_same_capabilities [C3]
            "The optional capabilities answer what the typed form answers.";
        object_wraps_the_same [C3 R1]
            "Wrapping by way of the object neither owns nor destroys, and checks the device.";
        object_keeps_the_errors [C3 C8]
            "An error keeps its kind and its text.";
        object_makes_the_same_kin [C3 C10 R41]
            "The streams and events that an object makes of its own context are those of the typed form, and so is what it says of blocking.";
        object_wraps_events [C3 C11]
            "A foreign event by way of the object holds who waits, keeps its owner and is not destroyed.";
        event_of_another_vendor [C3 C8]
            "Another vendor's event is refused by record, wait and elapsed time, and the error names both vendors.";
        stream_of_another_vendor [C3 C8]
            "Another vendor's stream is refused by a wait, and the error names both vendors.";
        object_of_the_own_stream [C3 R22]
            "The thread's own stream in the object-safe form is the typed form's, and waits are made both ways.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name and the documentation of every case in an area's source.
    fn documented(source: &str) -> Vec<(&str, String)> {
        let (mut found, mut about) = (Vec::new(), Vec::new());
        for line in source.lines() {
            if let Some(text) = line.strip_prefix("/// ") {
                about.push(text);
                continue;
            }
            if let Some(name) = line.strip_prefix("pub fn ").and_then(|rest| rest.split('<').next())
            {
                found.push((name, about.join(" ")));
            }
            about.clear();
        }
        found
    }

    #[test]
    fn every_case_is_listed_with_its_documentation() {
        for (area, source) in SOURCES {
            let listed = ALL.iter().filter(|case| case.area == *area);
            let listed: Vec<_> = listed.map(|case| (case.name, case.about.to_string())).collect();
            assert_eq!(documented(source), listed, "in {area}.rs and in list.rs");
        }
    }

    #[test]
    fn names_are_unique_and_every_case_has_a_rule() {
        for (index, case) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != case.name), "{}", case.name);
            assert!(!case.rules.is_empty(), "{} checks no rule", case.name);
        }
    }
}
