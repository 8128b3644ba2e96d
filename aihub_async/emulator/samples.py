"""Small real documents for trials: PDFs with a text layer, a CSV, an e-mail, a text and a web page."""

from collections.abc import Sequence
from pathlib import Path

from aihub_async.paths import local_path

_LINE_HEIGHT, _TOP, _LEFT, _SIZE = 18, 740, 72, 12


def pdf_bytes(pages: Sequence[Sequence[str]]) -> bytes:
    """Return a PDF with a text layer: one page per item, one line of text per string.

    Characters outside Latin-1 become `?`, since the text is set in a standard font.

    Example:
        >>> pdf_bytes([["Invoice Number: 7", "Total: $12.00"]])[:8]
        b'%PDF-1.4'
    """
    first_page = 4  # objects: 1 catalog, 2 page tree, 3 font, then a page and its content in turn
    kids = " ".join(f"{first_page + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, lines in enumerate(pages):
        content = _content(lines)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (first_page + 2 * index + 1)
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return _assemble(objects)


def _content(lines: Sequence[str]) -> bytes:
    shown = [
        b"1 0 0 1 %d %d Tm (%b) Tj" % (_LEFT, _TOP - row * _LINE_HEIGHT, _literal(line))
        for row, line in enumerate(lines)
    ]
    return b"BT /F1 %d Tf\n%b\nET" % (_SIZE, b"\n".join(shown))


def _literal(text: str) -> bytes:
    raw = text.encode("latin-1", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)").replace(b"\r", b" ")


def _assemble(objects: Sequence[bytes]) -> bytes:
    body = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    xref = b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))
    return bytes(body + xref + trailer)


_INVOICE = [
    "Northwind Traders",
    "INVOICE",
    "Invoice Number: NW-2041",
    "Invoice Date: 2025-03-14",
    "Due Date: 2025-04-13",
    "Customer: Blue Heron Books",
    "Customer E-mail: accounts@blueheron.example",
    "Purchase Order: PO-7781",
    "Subtotal: $1,180.00",
    "Tax: $94.40",
    "Total: $1,274.40",
]

_LEASE = [
    [
        "Equipment Lease Agreement",
        "Agreement Number: LA-0093",
        "Lessor: Harbor Machines Ltd.",
        "Lessee: Oak & Iron Joinery",
        "Start Date: 2025-01-01",
        "End Date: 2027-12-31",
    ],
    [
        "Schedule of payments",
        "Monthly Payment: $412.50",
        "Deposit: $825.00",
        "Contact: leasing@harbor-machines.example",
        "Signed: January 3, 2025",
    ],
]

_EXPENSES = """Date,Employee,Category,Amount
2025-02-03,Ana Ruiz,Travel,184.20
2025-02-05,Ben Okafor,Meals,32.75
2025-02-09,Chen Li,Software,99.00
"""

_EMAIL = """From: Maria Lopez <maria@greenfield.example>
To: orders@northwind.example
Subject: Order 5512
Date: Tue, 11 Mar 2025 09:30:00 +0000
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"

Hello,

please ship this order by March 20, 2025.

Order Number: 5512
Item: Oak shelving, 6 units
Ship To: 14 Mill Lane, Bath
Amount due: $540.00

Regards,
Maria
"""

_MEMO = """Delivery note

Delivery Number: DN-318
Carrier: Swift Freight
Received By: T. Novak
Received On: 2025-03-18
Parcels: 4
"""

_RECEIPT = """<!doctype html>
<html><head><title>Receipt</title><style>td { padding: 2px }</style></head>
<body><h1>Corner Cafe</h1>
<table>
<tr><td>Receipt Number</td><td>R-88213</td></tr>
<tr><td>Date</td><td>2025-03-17</td></tr>
<tr><td>Total</td><td>$18.40</td></tr>
</table>
<p>Questions? Write to hello@cornercafe.example</p>
</body></html>
"""


def write_samples(folder: Path | str) -> list[Path]:
    """Write six small documents to a folder, which is created if missing; return their paths.

    Example:
        >>> [path.name for path in write_samples("samples")]
        ['delivery.txt', 'expenses.csv', 'invoice.pdf', 'lease.pdf', 'order.eml', 'receipt.html']
    """
    target = local_path(folder, "folder")
    target.mkdir(parents=True, exist_ok=True)
    contents = {
        "delivery.txt": _MEMO.encode(),
        "expenses.csv": _EXPENSES.encode(),
        "invoice.pdf": pdf_bytes([_INVOICE]),
        "lease.pdf": pdf_bytes(_LEASE),
        "order.eml": _EMAIL.encode(),
        "receipt.html": _RECEIPT.encode(),
    }
    for name, content in contents.items():
        (target / name).write_bytes(content)
    return [target / name for name in contents]
