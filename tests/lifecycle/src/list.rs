//! List of the scenarios, and how the process of each must end: [`Scenario`].

use gpu_stream_core::BackendKind::{self, Cuda, Hip, Host, OpenCl};

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// `area::name`.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// How the process must end.
    pub exit: Exit,
    /// Lines that the process must print, and the backends on which it must.
    pub required_lines: &'static [(&'static [BackendKind], &'static str)],
    /// Lines that the process must not print.
    pub forbidden_lines: &'static [&'static str],
    /// Backends that do not run it, with the reason.
    pub not_on: &'static [(BackendKind, &'static str)],
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

const ALL_BACKENDS: &[BackendKind] = &[Host, Cuda, Hip, OpenCl];
const HOST: &[BackendKind] = &[Host];

/// Required lines where the host runs all submitted work before the process exits.
const WORK_FINISHED: &[(&[BackendKind], &str)] =
    &[(ALL_BACKENDS, "done"), (HOST, "the last task ran")];
/// Required lines of all other scenarios.
const DONE: &[(&[BackendKind], &str)] = &[(ALL_BACKENDS, "done")];

/// Creates a scenario that exits with code 0 on every backend.
const fn scenario(name: &'static str, about: &'static str) -> Scenario {
    let exit = Exit::Code(0);
    Scenario { name, about, exit, required_lines: DONE, forbidden_lines: &[], not_on: &[] }
}

/// Sets how the process must end.
const fn exits_with(scenario: Scenario, exit: Exit) -> Scenario {
    Scenario { exit, ..scenario }
}

/// Sets the lines that the process must print.
const fn prints(
    scenario: Scenario,
    required_lines: &'static [(&'static [BackendKind], &'static str)],
) -> Scenario {
    Scenario { required_lines, ..scenario }
}

/// Sets the lines that the process must not print.
const fn never_prints(scenario: Scenario, forbidden_lines: &'static [&'static str]) -> Scenario {
    Scenario { forbidden_lines, ..scenario }
}

/// Excludes backends, with the reason.
const fn not_on(scenario: Scenario, not_on: &'static [(BackendKind, &'static str)]) -> Scenario {
    Scenario { not_on, ..scenario }
}

/// Scenarios of this crate.
const OWN: &[Scenario] = &[
    prints(scenario("exit::main_returns", "main returns while streams have work"), WORK_FINISHED),
    never_prints(
        prints(
            scenario("exit::gated_work", "main returns while a closed gate blocks streams"),
            &[(ALL_BACKENDS, "done"), (HOST, "beside the gate")],
        ),
        &["after the gate"],
    ),
    never_prints(
        scenario(
            "exit::futures_are_pending",
            "main returns while futures of streams behind a closed gate are pending, and a thread awaits one",
        ),
        &["a value was dropped early", "a future was ready early"],
    ),
    exits_with(
        prints(
            scenario("exit::exit_is_called", "exit is called while streams have work"),
            WORK_FINISHED,
        ),
        Exit::Code(7),
    ),
    exits_with(
        prints(scenario("exit::main_panics", "main panics while streams have work"), WORK_FINISHED),
        Exit::Code(101),
    ),
    exits_with(
        scenario("exit::quick_exit", "quick_exit is called while streams have work"),
        Exit::Code(5),
    ),
    exits_with(
        scenario("exit::abort", "abort is called while streams have work"),
        Exit::Signal(libc::SIGABRT),
    ),
    exits_with(
        prints(
            scenario(
                "exit::while_others_submit",
                "a thread calls exit while other threads submit, create and drop streams",
            ),
            &[
                (ALL_BACKENDS, "done"),
                (HOST, "the last task ran"),
                (HOST, "other threads were rejected"),
            ],
        ),
        Exit::Code(7),
    ),
    scenario("exit::while_others_wait", "main returns while threads are blocked in synchronize"),
    exits_with(scenario("exit::in_a_host_function", "a host function calls exit"), Exit::Code(3)),
    prints(
        scenario(
            "exit::in_a_host_function_during_exit",
            "a host function calls exit while the process exits and other work is pending",
        ),
        WORK_FINISHED,
    ),
    scenario(
        "exit::loaded_by_a_thread",
        "a thread that has ended made the first call, main made later calls, and main returns",
    ),
    prints(
        scenario(
            "exit::atexit_handlers",
            "atexit handlers use streams and events, before and after the driver's own handlers",
        ),
        &[
            (ALL_BACKENDS, "done"),
            (ALL_BACKENDS, "late handler ended"),
            (ALL_BACKENDS, "early handler ended"),
        ],
    ),
    never_prints(
        prints(
            scenario(
                "exit::values_are_pending",
                "main returns while reclaimers have values behind a closed gate, and a thread waits for some",
            ),
            &[
                (ALL_BACKENDS, "done"),
                (ALL_BACKENDS, "the value of an idle stream"),
                (ALL_BACKENDS, "late handler ended"),
            ],
        ),
        &["a value was dropped early"],
    ),
    scenario("thread::pooled_events", "threads end after they used and pooled events"),
    scenario(
        "thread::busy",
        "a thread ends while its streams, the per-thread stream included, have work",
    ),
    prints(
        scenario(
            "thread::destructors_before",
            "a thread-local older than the backend's uses the backend in its destructor",
        ),
        &[(ALL_BACKENDS, "done"), (ALL_BACKENDS, "destructor ended")],
    ),
    prints(
        scenario(
            "thread::destructors_after",
            "a thread-local newer than the backend's uses the backend in its destructor",
        ),
        &[(ALL_BACKENDS, "done"), (ALL_BACKENDS, "destructor ended")],
    ),
    prints(
        scenario(
            "thread::destructors_of_main",
            "a thread-local of the main thread uses the backend in its destructor, while the process exits",
        ),
        &[(ALL_BACKENDS, "done"), (ALL_BACKENDS, "destructor ended")],
    ),
    scenario(
        "drop::every_order",
        "stream, clone, events, owner, waiter and gate are dropped in every order, with pending work",
    ),
    scenario(
        "drop::every_order_idle",
        "stream, clone, events, owner and waiter are dropped in every order, idle",
    ),
    scenario(
        "drop::beside_a_host_function",
        "an idle stream is dropped while a host function runs that waits for the drop to return",
    ),
    scenario(
        "panic::in_a_host_function",
        "a host function panics, and so do the destructors of its captures",
    ),
    scenario(
        "panic::in_an_owner",
        "an owner panics on drop, when its stream is dropped and when an event is dropped",
    ),
    scenario(
        "panic::with_all_alive",
        "a panic unwinds through streams, events and gates that are in use",
    ),
    scenario("panic::through_calls", "the caller's owner or iterator panics inside a call"),
    scenario("fork::child_ends", "a child makes no call and ends by _exit"),
    not_on(
        scenario(
            "fork::child_calls_exit",
            "a child ends by exit, which runs the atexit handlers, before or after it dropped everything",
        ),
        &[(
            Hip,
            "HIP's thread-exit handler waits in the child for a thread that exists only in the parent; end a child \
             by _exit, or start a program in it",
        )],
    ),
    scenario(
        "fork::child_uses",
        "a child uses the parent's handles: every call is rejected, and drops do nothing",
    ),
    scenario(
        "fork::deferred_drop",
        "a destructor is deferred while the process forks: the parent runs it, and the child does not",
    ),
    scenario(
        "fork::before_the_first_use",
        "the child of a parent that made no call works as any process",
    ),
    scenario("fork::while_others_submit", "a process forks while other threads are inside calls"),
    scenario(
        "fork::values_are_pending",
        "a process forks while reclaimers have values and other threads use them: the values are the parent's",
    ),
    scenario("fork::exec", "other programs are started while streams have work"),
    scenario(
        "copies::three_copies",
        "three copies of the backend in one process work on one stream",
    ),
    scenario("reentrance::from_a_host_function", "a host function makes every call"),
];

/// Returns the suite's cases of failing work as scenarios.
///
/// Each runs in its own process, because it corrupts the CUDA context. On CUDA a case need not pass:
/// see [`scenarios`](crate::scenarios).
fn faults() -> Vec<Scenario> {
    let cases = gpu_stream_conformance::cases::ALL.iter().filter(|case| case.area == "faults");
    let to_scenario = |case: &'static gpu_stream_conformance::CaseInfo| {
        let name: &'static str = format!("fault::{}", case.name).leak();
        not_on(
            scenario(name, case.about),
            &[
                (Hip, "AMD's runtime ends the process when work fails"),
                (OpenCl, "PoCL ends the process when a command fails"),
            ],
        )
    };
    cases.map(to_scenario).collect()
}

/// Returns all scenarios.
pub fn all() -> &'static [Scenario] {
    static SCENARIOS: std::sync::LazyLock<Vec<Scenario>> =
        std::sync::LazyLock::new(|| OWN.iter().copied().chain(faults()).collect());
    &SCENARIOS
}

/// Returns the scenario with this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().iter().find(|scenario| scenario.name == name)
}
