"""How long files and functions may be."""
import ast
import re

from .source import Breach, Tree

FILE_LIMIT = 400
FUNCTION_LIMIT = 70
CODE = (".swift", ".py", ".js", ".sh", ".c", ".cc", ".h")


def is_code(tree: Tree, path: str) -> bool:
    return path.endswith(CODE) or tree.text(path)[:2] == "#!"


def file_lengths(tree: Tree) -> list[Breach]:
    """A file has at most 400 lines: a longer one holds a second idea."""
    return [Breach(path, FILE_LIMIT, f"{len(tree.lines(path))} lines, at most {FILE_LIMIT}: which second idea lives here?")
            for path in tree.files if is_code(tree, path) and len(tree.lines(path)) > FILE_LIMIT]


def function_lengths(tree: Tree) -> list[Breach]:
    """A function has at most 70 lines."""
    breaches = []
    for path in tree.files:
        if path.endswith(".swift"):
            functions = swift_functions(tree.code(path))
        elif path.endswith(".py") or (is_code(tree, path) and "python" in tree.text(path).split("\n", 1)[0]):
            functions = python_functions(tree.text(path))
        else:
            continue
        breaches += [Breach(path, line, f"'{name}' has {length} lines, at most {FUNCTION_LIMIT}")
                     for name, line, length in functions if length > FUNCTION_LIMIT]
    return breaches


def python_functions(text: str) -> list[tuple[str, int, int]]:
    return [(node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1) for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


DECLARATION = re.compile(r"\b(?:func\s+(?P<name>[^\s(<]+)|(?P<init>init)\s*[?!]?\s*[(<]|(?P<deinit>deinit)\b)")


def swift_functions(code: list[str]) -> list[tuple[str, int, int]]:
    """(name, first line, number of lines) of every function with a body, from its keyword to its closing brace."""
    text = "\n".join(code)
    found = []
    for declaration in DECLARATION.finditer(text):
        before = text[:declaration.start()].rstrip(" ")
        if declaration["init"] and before.endswith((".", "self", "super")):
            continue  # a call, not a declaration
        opening = opening_brace(text, declaration.end())
        if opening is None:
            continue
        end = matching_brace(text, opening)
        first = text.count("\n", 0, declaration.start()) + 1
        name = declaration["name"] or declaration["init"] or declaration["deinit"]
        found.append((name, first, text.count("\n", declaration.start(), end) + 1))
    return found


TYPE = re.compile(r"\b(?:struct|class|enum|extension|actor)\s+(?P<name>[\w.]+)[^{}\n]*\{")


def swift_types(code: list[str]) -> list[tuple[str, int, int]]:
    """(`type NAME`, first line, number of lines) of every type and extension."""
    text = "\n".join(code)
    return [(f"type {found['name']}", text.count("\n", 0, found.start()) + 1,
             text.count("\n", found.start(), matching_brace(text, found.end() - 1)) + 1) for found in TYPE.finditer(text)]


def opening_brace(text: str, at: int) -> int | None:
    """Where the body begins; None for a requirement of a protocol."""
    depth = text[at - 1] == "("
    depth = int(depth)
    while at < len(text):
        char = text[at]
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "{" and depth == 0:
            return at
        elif char in "};" and depth == 0:
            return None
        elif char == "\n" and depth == 0 and re.match(r"\s*(?:@\w|public|private|internal|func|var|let|init|static|mutating|case|//)",
                                                      text[at + 1:at + 40]):
            return None
        at += 1
    return None


def matching_brace(text: str, opening: int) -> int:
    depth = 0
    for brace in re.finditer(r"[{}]", text[opening:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return opening + brace.end()
    return len(text)
