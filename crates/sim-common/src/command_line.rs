//! The options before the command, and the command: [`CommandLine`].

use std::ffi::OsString;

/// Whether an option has a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// No value: `--fetch`.
    Nothing,
    /// A value, in the same or the next argument: `--devices=2`, `--devices 2`. The text says what it is, for the
    /// error if it is missing.
    Value(&'static str),
    /// No value, or one in the same argument: `--trace`, `--trace=FILE`.
    OptionalValue,
}

/// An option that a command line may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionSpec {
    /// The name, with its dashes.
    pub name: &'static str,
    /// Whether it has a value.
    pub takes: Takes,
}

/// A command line: options, then the command with its arguments.
///
/// Options end before the first argument that does not begin with a dash, or after `--`. What follows belongs to the
/// command, options included.
///
/// # Examples
/// ```
/// use sim_common::{CommandLine, OptionSpec, Takes};
///
/// let known = [OptionSpec { name: "--devices", takes: Takes::Value("a number of devices") }];
/// let arguments = ["--devices", "2", "--", "cargo", "test", "--help"].map(Into::into);
/// let line = CommandLine::parse(arguments, &known)?;
/// assert_eq!(line.value("--devices"), Some("2"));
/// assert_eq!(line.command, ["cargo", "test", "--help"]);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandLine {
    /// The options in their order, each with its value.
    pub options: Vec<(&'static str, Option<String>)>,
    /// The command and its arguments. Empty if there is none.
    pub command: Vec<OsString>,
}

impl CommandLine {
    /// Parses the arguments after the program's own name.
    ///
    /// # Errors
    /// A message that names the argument, for an unknown option, a missing value, a value that an option does not take,
    /// or a value that is not valid UTF-8.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        known: &[OptionSpec],
    ) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut line = CommandLine::default();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            if !argument.as_encoded_bytes().starts_with(b"-") {
                line.command.push(argument);
                break;
            }
            let text = unicode(argument)?;
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            let option = known.iter().find(|option| option.name == name);
            let Some(option) = option else {
                return Err(format!("{name}: unknown option; see --help"));
            };
            let value = match (option.takes, value) {
                (Takes::Nothing, Some(value)) => {
                    return Err(format!("{name}={value}: {name} has no value; leave it away"));
                }
                (Takes::Value(what), None) => {
                    let next = arguments.next().ok_or(format!("{name}: give {what}"))?;
                    Some(unicode(next)?)
                }
                (_, value) => value,
            };
            line.options.push((option.name, value));
        }
        line.command.extend(arguments);
        Ok(line)
    }

    /// Returns `true` if the option is there.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    /// Returns the value of an option. The last one counts if there are several.
    pub fn value(&self, name: &str) -> Option<&str> {
        let last = self.options.iter().rev().find(|(option, _)| *option == name);
        last.and_then(|(_, value)| value.as_deref())
    }
}

fn unicode(argument: OsString) -> Result<String, String> {
    argument.into_string().map_err(|bad| format!("{}: not valid UTF-8", bad.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [OptionSpec; 3] = [
        OptionSpec { name: "--devices", takes: Takes::Value("a number") },
        OptionSpec { name: "--trace", takes: Takes::OptionalValue },
        OptionSpec { name: "-h", takes: Takes::Nothing },
    ];

    fn parse(arguments: &[&str]) -> Result<CommandLine, String> {
        CommandLine::parse(arguments.iter().map(OsString::from), &KNOWN)
    }

    #[test]
    fn options_end_at_the_command_or_after_two_dashes() {
        let line = parse(&["--devices=2", "cargo", "--devices", "3"]).expect("a command line");
        assert_eq!(line.value("--devices"), Some("2"));
        assert_eq!(line.command, ["cargo", "--devices", "3"]);
        let line = parse(&["-h", "--", "-h", "--"]).expect("a command line");
        assert!(line.has("-h"));
        assert_eq!(line.command, ["-h", "--"]);
    }

    #[test]
    fn value_stands_in_the_same_or_the_next_argument() {
        let line =
            parse(&["--devices", "1", "--trace", "--devices=2", "x"]).expect("a command line");
        assert_eq!(line.value("--devices"), Some("2"), "the last one counts");
        assert_eq!((line.has("--trace"), line.value("--trace")), (true, None));
        assert_eq!(line.command, ["x"]);
        assert_eq!(parse(&["--trace=a=b"]).expect("a command line").value("--trace"), Some("a=b"));
    }

    #[test]
    fn wrong_option_is_named() {
        for (arguments, text) in [
            (&["--device", "2"][..], "--device: unknown option; see --help"),
            (&["--devices"], "--devices: give a number"),
            (&["-h=1"], "-h=1: -h has no value; leave it away"),
        ] {
            assert_eq!(parse(arguments), Err(text.into()));
        }
        assert_eq!(parse(&[]), Ok(CommandLine::default()));
    }
}
