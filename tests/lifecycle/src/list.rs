//! The scenarios, and how each has to end.

use gpu_stream_core::BackendKind::{self, Cuda, Hip, Host};

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// `area::name`.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// How the process has to end.
    pub end: End,
    /// What it has to say, on these backends.
    pub says: &'static [(&'static [BackendKind], &'static str)],
    /// What it must not say.
    pub never: &'static [&'static str],
    /// The backends that it is not for, and why.
    pub not_on: &'static [(BackendKind, &'static str)],
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

const ALL_BACKENDS: &[BackendKind] = &[Host, Cuda, Hip];
const HOST: &[BackendKind] = &[Host];

/// Where what was submitted is run before the process ends.
const FINISHED: &[(&[BackendKind], &str)] =
    &[(ALL_BACKENDS, "played"), (HOST, "the last task ran")];
const PLAYED: &[(&[BackendKind], &str)] = &[(ALL_BACKENDS, "played")];

const fn scenario(name: &'static str, about: &'static str) -> Scenario {
    let end = End::Code(0);
    Scenario { name, about, end, says: PLAYED, never: &[], not_on: &[] }
}

const fn ending(scenario: Scenario, end: End) -> Scenario {
    Scenario { end, ..scenario }
}

const fn saying(
    scenario: Scenario,
    says: &'static [(&'static [BackendKind], &'static str)],
) -> Scenario {
    Scenario { says, ..scenario }
}

const fn never(scenario: Scenario, never: &'static [&'static str]) -> Scenario {
    Scenario { never, ..scenario }
}

const fn not_on(scenario: Scenario, not_on: &'static [(BackendKind, &'static str)]) -> Scenario {
    Scenario { not_on, ..scenario }
}

/// Those that are played here.
const OWN: &[Scenario] = &[
    saying(scenario("exit::main_returns", "main returns while streams work"), FINISHED),
    never(
        saying(
            scenario("exit::behind_a_gate", "main returns while streams are held back"),
            &[(ALL_BACKENDS, "played"), (HOST, "beside the gate")],
        ),
        &["behind the gate"],
    ),
    ending(
        saying(scenario("exit::exit_is_called", "exit is called while streams work"), FINISHED),
        End::Code(7),
    ),
    ending(
        saying(scenario("exit::main_panics", "main panics while streams work"), FINISHED),
        End::Code(101),
    ),
    ending(scenario("exit::quick_exit", "quick_exit while streams work"), End::Code(5)),
    ending(scenario("exit::abort", "abort while streams work"), End::Signal(libc::SIGABRT)),
    ending(
        saying(
            scenario(
                "exit::while_others_submit",
                "a thread calls exit while others submit, make and drop streams",
            ),
            &[
                (ALL_BACKENDS, "played"),
                (HOST, "the last task ran"),
                (HOST, "the others were refused"),
            ],
        ),
        End::Code(7),
    ),
    scenario("exit::while_others_wait", "main returns while threads are blocked in synchronize"),
    ending(scenario("exit::in_a_host_function", "a host function calls exit"), End::Code(3)),
    saying(
        scenario(
            "exit::in_a_host_function_too",
            "a host function calls exit while the process ends, and other work is left",
        ),
        FINISHED,
    ),
    scenario(
        "exit::loaded_by_a_thread",
        "a thread that has ended made the first call, main others, and main returns",
    ),
    saying(
        scenario(
            "exit::handlers_call",
            "functions of atexit use streams and events, first and last",
        ),
        &[
            (ALL_BACKENDS, "played"),
            (ALL_BACKENDS, "late handler ended"),
            (ALL_BACKENDS, "early handler ended"),
        ],
    ),
    scenario("thread::pooled_events", "threads end that have used and pooled events"),
    scenario("thread::busy", "a thread ends whose streams, its own among them, have work"),
    saying(
        scenario(
            "thread::destructors_before",
            "a thread-local that was there before the backend's uses it at the thread's end",
        ),
        &[(ALL_BACKENDS, "played"), (ALL_BACKENDS, "destructor ended")],
    ),
    saying(
        scenario("thread::destructors_behind", "the same, with one that came after the backend's"),
        &[(ALL_BACKENDS, "played"), (ALL_BACKENDS, "destructor ended")],
    ),
    saying(
        scenario(
            "thread::destructors_of_main",
            "the same on the main thread, while the process ends",
        ),
        &[(ALL_BACKENDS, "played"), (ALL_BACKENDS, "destructor ended")],
    ),
    scenario(
        "drop::every_order",
        "stream, clone, events, owner, waiter and gate are dropped in every order, busy",
    ),
    scenario("drop::every_order_idle", "the same with no work left"),
    scenario("panic::in_a_host_function", "a host function panics, and so does what it holds"),
    scenario(
        "panic::in_an_owner",
        "an owner panics when it is dropped, with its stream and with an event",
    ),
    scenario(
        "panic::with_all_alive",
        "a panic unwinds through streams, events and gates that work",
    ),
    scenario("panic::through_calls", "an owner or an iterator of the caller panics inside a call"),
    scenario("fork::child_ends", "a child that uses nothing ends, by _exit"),
    not_on(
        scenario(
            "fork::child_calls_exit",
            "a child ends by exit, which runs the functions of atexit; before or after it has dropped all",
        ),
        &[(
            Hip,
            "HIP's own function for the end of a thread waits in the child for a thread of HIP's that stayed in the \
             parent; end a child by _exit, or start a program in it",
        )],
    ),
    scenario(
        "fork::child_uses",
        "a child uses what the parent had: every call is refused, and dropping does nothing",
    ),
    scenario(
        "fork::put_off",
        "a destructor was put off when the process forks: the parent runs it, and the child does not",
    ),
    scenario(
        "fork::before_the_first_use",
        "a child of a parent that has used nothing works as any process",
    ),
    scenario("fork::while_others_submit", "children while other threads are inside calls"),
    scenario("fork::exec", "other programs are started while streams work"),
    scenario("twice::two_copies", "three copies of the backend in one process work on one stream"),
    scenario("reentrance::from_a_host_function", "a host function makes every call there is"),
];

/// The suite's cases of failing work, each in a process of its own, since it takes a CUDA context
/// with it. There a case need not pass: see [`play`](crate::play).
fn faults() -> Vec<Scenario> {
    let cases = gpu_stream_conformance::cases::ALL.iter().filter(|case| case.area == "faults");
    let one = |case: &'static gpu_stream_conformance::CaseInfo| {
        let name: &'static str = format!("fault::{}", case.name).leak();
        not_on(
            scenario(name, case.about),
            &[(Hip, "AMD's runtime ends the process when work fails")],
        )
    };
    cases.map(one).collect()
}

/// All of them.
pub fn all() -> &'static [Scenario] {
    static ALL_OF_THEM: std::sync::LazyLock<Vec<Scenario>> =
        std::sync::LazyLock::new(|| OWN.iter().copied().chain(faults()).collect());
    &ALL_OF_THEM
}

/// The scenario with this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().iter().find(|scenario| scenario.name == name)
}
