"""The page of a report: sections of text, tables and figures as one HTML file that needs nothing else."""

import base64
import html
import io
from dataclasses import dataclass, field

STYLE = """
:root { --ink: #1c2430; --soft: #5b6676; --line: #dde2e8; --tint: #f5f7f9; --accent: #0072b2; --warn: #d55e00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .5rem; padding-top: .7rem; border-top: 1px solid var(--line); }
p, li { max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1rem 0; font-size: .95rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
figure { margin: 1rem 0 1.4rem; } figure img { width: 100%; height: auto; display: block; }
figcaption { max-width: 46rem; margin-top: .3rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1rem 0; }
.numbers div { background: var(--tint); border-radius: 6px; padding: .6rem .8rem; font-size: .88rem;
               color: var(--soft); }
.numbers b { display: block; color: var(--ink); font-size: 1.25rem; font-weight: 600; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
table.facts td { white-space: normal; overflow-wrap: anywhere; }
table.facts td, table.facts th { text-align: left; vertical-align: top; }
.note, .warning { border-left: 4px solid var(--accent); background: var(--tint); padding: .7rem 1rem; margin: 1rem 0;
                  max-width: 48rem; }
.warning { border-color: var(--warn); } .note p, .warning p { margin: .2rem 0; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; }
summary { cursor: pointer; color: var(--accent); }
@media print { nav, details { display: none; } figure { break-inside: avoid; } }
"""


@dataclass
class Page:
    """Collects the sections; text of callers is HTML unless it went through `text`."""

    title: str
    subtitle: str
    body: list = field(default_factory=list)
    sections: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {name: PNG bytes}

    def section(self, name, title):
        self.sections.append((name, title))
        self.body.append(f'<h2 id="{name}">{text(title)}</h2>')

    def add(self, *paragraphs):
        self.body += [f"<p>{paragraph}</p>" for paragraph in paragraphs]

    def box(self, kind, *paragraphs):
        """A note or a warning."""
        self.body.append(f'<div class="{kind}">' + "".join(f"<p>{p}</p>" for p in paragraphs) + "</div>")

    def numbers(self, pairs):
        """The few figures that matter: [(value, what it is)]."""
        cells = "".join(f"<div><b>{text(value)}</b>{text(name)}</div>" for value, name in pairs)
        self.body.append(f'<div class="numbers">{cells}</div>')

    def facts(self, rows):
        body = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
        self.body.append(f'<div class="scroll"><table class="facts">{body}</table></div>')

    def table(self, head, rows):
        cells = "".join(f"<th>{text(name)}</th>" for name in head)
        body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self.body.append(
            f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def details(self, summary, content):
        self.body.append(f"<details><summary>{text(summary)}</summary><pre>{text(content)}</pre></details>")

    def figure(self, name, figure, caption):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        self.pictures[name] = buffer.getvalue()
        data = base64.b64encode(self.pictures[name]).decode()
        self.body.append(
            f'<figure><img alt="{text(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{text(caption)}</figcaption></figure>"
        )

    def html(self):
        links = "".join(f'<a href="#{name}">{text(title)}</a>' for name, title in self.sections)
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(self.title)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style></head>\n'
            f'<body><main><h1>{text(self.title)}</h1><p class="soft">{text(self.subtitle)}</p>\n<nav>{links}</nav>\n'
            + "\n".join(self.body)
            + "\n</main></body></html>\n"
        )


def text(value):
    """Anything as text that is safe in HTML."""
    return html.escape(str(value))


def number(value, digits=3):
    """With so many significant digits and without exponents where they are not needed; a dash for NaN."""
    if value is None or value != value:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.{digits}g}" if 1e-3 <= abs(value) < 10**digits else (
        f"{value:,.0f}" if abs(value) < 1e9 and abs(value) >= 1 else f"{value:.{digits - 1}e}"
    )  # fmt: skip


def plural(count, noun):
    """1 frame, 1,000 frames."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def fixed(value):
    """A fraction with three decimals; a dash for NaN."""
    return "–" if value != value else f"{value:.3f}"


def with_error(value, error):
    """Value and standard error, with two digits of the error."""
    if value != value:
        return "–"
    if not error > 0:
        return number(value)
    from math import floor, log10

    digits = min(6, max(0, 1 - floor(log10(error))))
    return f"{value:,.{digits}f} ± {error:.{digits}f}"
