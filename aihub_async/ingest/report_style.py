"""The style of the report: readable at 400 pixels, in the dark and on paper."""

STYLE = """
:root { color-scheme: light dark; --text: #1c2733; --soft: #51606f; --line: #e3e8ee; --page: #fff; --card: #f5f7fa;
  --accent: #2463c4; --good: #1d7a46; --warn: #a35400; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6ebf1; --soft: #a3b1c0; --line: #2c3947; --page: #11181f;
  --card: #1a242e; --accent: #78abf5; --good: #67c98f; --warn: #f0a860; --bad: #f28b82; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 0 auto; padding: 1em; color: var(--text);
  background: var(--page); }
h1 { font-size: 1.5em; margin: .6em 0 .2em; overflow-wrap: anywhere; } h2 { font-size: 1.15em; margin-top: 2em; }
a { color: var(--accent); } p, li { overflow-wrap: anywhere; }
.banner { border-left: 6px solid var(--accent); background: var(--card); padding: .8em 1em; border-radius: 4px; }
.banner.good { border-color: var(--good); } .banner.warn { border-color: var(--warn); }
.banner.bad { border-color: var(--bad); } .banner b { font-size: 1.1em; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9em, 1fr)); gap: .8em; margin: 1em 0; }
.numbers div { background: var(--card); padding: .6em .8em; border-radius: 4px; }
.numbers strong { display: block; font-size: 1.7em; line-height: 1.2; font-variant-numeric: tabular-nums; }
.numbers span { color: var(--soft); font-size: .9em; }
table { border-collapse: collapse; width: 100%; font-size: 13px; } td, th { text-align: left; padding: 4px 10px 4px 0;
  vertical-align: top; overflow-wrap: anywhere; font-weight: normal; } thead th { color: var(--soft); }
tr { border-bottom: 1px solid var(--line); }
.bars th { width: 34%; } .bars td:last-child { width: 22%; white-space: nowrap; text-align: right; padding-right: 0; }
.bar { display: inline-block; height: .8em; background: var(--accent); min-width: 1px; border-radius: 2px; }
code { background: var(--card); padding: .15em .4em; border-radius: 3px; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; font-size: 12px; } svg text { fill: var(--soft); } svg line { stroke: var(--line); }
polyline { fill: none; stroke-width: 2; stroke: var(--soft); } polyline.done { stroke: var(--accent); }
.legend span::before { content: ""; display: inline-block; width: 1.2em; border-top: 3px solid var(--soft);
  margin-right: .4em; vertical-align: middle; } .legend .done::before { border-color: var(--accent); }
details { margin: .5em 0; } summary { cursor: pointer; }
@media (max-width: 500px) { body { font-size: 14px; padding: .7em; } .numbers strong { font-size: 1.35em; }
  td, th { padding-right: 6px; } }
@page { margin: 14mm; }
@media print { :root { color-scheme: light; --text: #000; --soft: #444; --line: #bbb; --page: #fff; --card: #f2f2f2;
  --accent: #2463c4; --good: #1d7a46; --warn: #a35400; --bad: #b3261e; }
  body { max-width: none; padding: 0; font-size: 10pt; } h2 { margin-top: 1.2em; }
  .banner, .numbers div, .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h2, summary { break-after: avoid; } tr, svg, .numbers, .banner { break-inside: avoid; }
  thead { display: table-header-group; } details::details-content { content-visibility: visible; block-size: auto; } }
"""
