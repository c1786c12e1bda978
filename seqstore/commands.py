"""Command lines made of typed functions: one line and exit code 2 for a user's mistake.

A command is a plain function. Its positional parameters are positional on the command line, its
keyword-only parameters are options, and its docstring is the help. A function whose only parameter
is a dataclass takes every field as an option, spelled as in the YAML file that ``--config`` names.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast, get_type_hints

import docstring_parser
import jsonargparse
from jsonargparse import _typehints

from seqstore.errors import InputError

Command = Callable[..., None]


class UsageError(InputError):
    """A command line or a config file that the parser refuses."""


class Parser(jsonargparse.ArgumentParser):
    """An argument parser whose errors are an InputError of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the parser's message as a UsageError."""
        raise UsageError(_in_plain_words(_one_line(message))) from ex


def _forget_other_class(_: Any, before: Any, chosen: Any) -> None:
    """Let a component of another class start from its own defaults.

    jsonargparse would keep every key that both classes have: the default of one would be a setting of the other.
    """
    if before and "init_args" in before and before["class_path"] != chosen["class_path"]:
        before["init_args"] = jsonargparse.Namespace()  # type: ignore[no-untyped-call]


_typehints.discard_init_args_on_class_path_change = _forget_other_class


def run(prog: str, commands: Mapping[str, Command] | Command, argv: list[str] | None = None) -> NoReturn:
    """Run a command line and exit: 0 done, 2 a user's mistake, 130 interrupted.

    ``commands`` is one function, or several by subcommand name; ``argv`` defaults to the process's.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("seqstore", "trainer", "analysis"):
        logging.getLogger(package).setLevel(logging.INFO)
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with _interrupts_repeated():
            _parse_and_call(prog, commands, arguments)
            sys.stdout.flush()
    except BrokenPipeError:  # head, or a pager that was left, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except InputError as error:
        print(f"error: {_one_line(str(error))}{_config_hint(arguments, error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one has nothing more to say
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # zarr's reads and writes end unfinished
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _parse_and_call(prog: str, commands: Mapping[str, Command] | Command, arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    for path in map(Path, _configs(arguments)):
        try:
            path.is_file() and path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: byte {error.start} is not UTF-8; save the file in that encoding"
            ) from error
    if isinstance(commands, Mapping):
        parser = Parser(prog=prog)
        subcommands = parser.add_subcommands(required=True)
        for name, command in commands.items():
            subcommands.add_subcommand(name, parser_of(command), help=_summary(command))
        arguments = _spelled(arguments, commands.get(arguments[0]) if arguments else None)
        chosen = parser.instantiate(parser.parse_args(arguments))
        _call(commands[chosen.subcommand], chosen[chosen.subcommand])
    else:
        parser = parser_of(commands, prog=prog)
        arguments = _spelled(arguments, commands)
        _call(commands, parser.instantiate(parser.parse_args(arguments)))


@contextmanager
def _interrupts_repeated() -> Iterator[None]:
    """Ctrl-C comes again where Python dropped it: in a finaliser, or a callback of its garbage collector."""
    others = sys.unraisablehook

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            others(lost)
            return
        main = threading.main_thread().ident or 0  # told by a signal of its own, it does not sleep on
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would end this function
        again = threading.Timer(
            0.05, signal.pthread_kill, (main, signal.SIGINT)
        )  # now is within this function
        again.daemon = True
        again.start()
        signal.signal(signal.SIGINT, handler)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = others


def parser_of(command: Command, prog: str | None = None) -> Parser:
    """The parser of one command, from its signature and docstring."""
    parser = Parser(prog=prog, description=_summary(command))
    config = _config_of(command)
    if config is not None:
        parser.add_argument("--config", action="config", help="YAML file with any of the keys below")
        parser.add_class_arguments(config)
        return parser
    hints = get_type_hints(command)
    texts = {p.arg_name: p.description for p in docstring_parser.parse(command.__doc__ or "").params}
    for name, parameter in inspect.signature(command).parameters.items():
        required = parameter.default is parameter.empty
        options: dict[str, Any] = {"help": texts.get(name)}
        if parameter.kind is not parameter.KEYWORD_ONLY:
            many = {"type": str, "nargs": "+"} if hints[name] == list[str] else {"type": hints[name]}
            many |= {} if required else {"nargs": "?", "default": parameter.default}
            parser.add_argument(name, **many, **options)
            continue
        if hints[name] is bool:
            options |= {"action": "store_true"}
        elif hints[name] in (list[str], list[str] | None):  # "--predictions a=x b=y", once or several times
            options |= {"type": str, "nargs": "+", "action": "extend", "required": required}
        else:
            options |= {"type": hints[name], "required": required}
            options |= {} if required else {"default": parameter.default}
        parser.add_argument("--" + name.replace("_", "-"), **options)
    return parser


def _config_of(command: Command) -> type[Any] | None:
    """The dataclass that is a command's only parameter, if it is one."""
    types = [hint for name, hint in get_type_hints(command).items() if name != "return"]
    return cast("type[Any]", types[0]) if len(types) == 1 and dataclasses.is_dataclass(types[0]) else None


def _call(command: Command, arguments: jsonargparse.Namespace) -> None:
    values = {key: value for key, value in arguments.as_dict().items() if key != "config"}
    config = _config_of(command)
    if config is None:
        command(**values)
    else:
        command(config(**values))


def _summary(command: Command) -> str:
    return (command.__doc__ or "").strip().split("\n")[0]


def _spelled(arguments: list[str], command: Command | None) -> list[str]:
    """Arguments with options spelled as the command has them: hyphens and underscores are one to the user."""
    if command is None:
        return arguments
    here, other = ("_", "-") if _config_of(command) else ("-", "_")
    spelled = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_option = name.startswith("--")
        spelled.append("--" + name[2:].replace(other, here) + equals + value if is_option else argument)
    return spelled


def _configs(arguments: list[str]) -> list[str]:
    """The config files that are named."""
    return [after for before, after in itertools.pairwise(arguments) if before == "--config"]


def _config_hint(arguments: list[str], error: InputError) -> str:
    """The config file, for an error of the parser, which knows keys but not where they stand."""
    paths = _configs(arguments)
    return f" (config: {', '.join(paths)})" if isinstance(error, UsageError) and paths else ""


#: What the parser says, and what it means.
_PLAIN_WORDS = (
    (r"^Unexpected config:.*", "the config is empty, or no YAML of keys and values"),
    (r'^Parser key "(?:\w+\.)?([^"]+)": ', r"\1: "),
    (
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*)\] Errors: .* Given value: ",
        r"Expected a \1. Got value: ",
    ),
    (r"Expected a (.*?)\. Got value: ", r"expected \1; got "),
    (r"typing\.Literal\[([^]]*)\]", r"one of \1"),
    (r"list\[\w+\]|<class 'list'>", "a list such as [one, two]"),
    (r"<class 'int'>", "a whole number"),
    (r"<class 'float'>", "a number"),
    (r"<class 'bool'>", "true or false"),
    (r"<class 'str'>", "a text"),
    (r"(, )?<class 'NoneType'>(, )?", ""),
    (r"(?<=required: )(.*)", lambda keys: re.sub(r"\w+\.(?=\w)", "", keys[0])),
    (r'in "<unicode string>", ', ""),
)  # fmt: skip


def _in_plain_words(message: str) -> str:
    for pattern, words in _PLAIN_WORDS:
        message = re.sub(pattern, words, message)
    return message


def _one_line(message: str) -> str:
    return " ".join(message.split())
