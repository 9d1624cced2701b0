"""Write the font by which pictures and PDFs write Chinese: `python scripts/chinese_font.py FILE`.

FILE is NotoSansCJKsc-Regular.otf of Noto Sans CJK 1.004, which its makers publish under the SIL
Open Font License in notofonts/noto-cjk on GitHub (release of June 2015); the wheel of
mplfonts 0.0.11 on PyPI holds the same file. No name is reserved in it, so a part may keep its name.

What is kept: the characters that a report or a name may hold. Their outlines are made quadratic,
since ReportLab embeds no others.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "src" / "medfed" / "imaging" / "fonts" / "NotoSansCJKsc-part.ttf"
ORIGINAL = "1652500938055a232cfbfa321de6ebaadfc5635dd9f75e369bc991d14a6512dd"
"""SHA-256 of FILE."""
FARTHEST = 1.0
"""How far a new outline may lie from the old one, in thousandths of the font's height."""
RANGES = (
    (0x0020, 0x0180),  # Latin
    (0x0370, 0x0400),  # Greek
    (0x0400, 0x0460),  # Cyrillic
    (0x2000, 0x2070),  # punctuation
    (0x2070, 0x20D0),  # raised and lowered figures, currencies
    (0x2100, 0x2190),  # units and Roman numerals
    (0x2190, 0x2200),  # arrows
    (0x2200, 0x2300),  # mathematics
    (0x3000, 0x3040),  # Chinese punctuation
    (0xFF00, 0xFFF0),  # full width
)
NAMES = (
    "喆堃镕珺翀玥頔琤炘昉旻祎祐璟瑄垚犇淏昇晞晳曈钘锜镠暕暐玹玶玘玠玙玚珅珣琀琇琎琯瑀瑆瑢璈璠璪瓖赟"
    "赪贇韡頠颋骎骙鹢麀龑龢龏伋佁佺侁侹俍俶倓倞偲傕儁兟冏冔刕劼勍勣匋卬叆咍唵啠啴喤嘒坰垕埇埈埻堉堌"
    "堨塱壵奡奭妘妧姈姌姞姮姵娀婳媄媖嫄嫕嫚嫪嬛嬿孖宬寔寘寯尛屾峂峣崀崟嵎嵚嶓巂巘廆廙弇弢弨彧忞悆惇"
    "惔愔慆慜慥抃掞搢摛敩旸旿昞昫昳晊晙晢晫晬晸暅曌朓柷栐栘梣棻楙榃槃槱橪橞沄沚沨泂泆洑洣洸洺浐浛浥"
    "浬涘涢淯湉湑湜湲湴溁溍溵滃滆滉滘滪漈漴漷潏潓潽潾澂澔澥澴濛炆炌炑炟炣烔烜烺焃焌焜焞煐煖熇燊燏燚"
    "爔牁玕玦珋珌珪珫珬珰珵珽珮珒琍琔琖琗琟琡琫琭琲瑂瑃瑅瑓瑔瑖瑝瑧瑨瑱瑳瑸璆璕璘璥璬璮璱璲璵瓅瓘瓛甃"
    "甠甪畯皞皦皪盉盷眀矞碁碶磻祃祇祊祲祼禔禛禤秾穟窅竑筼箓簃簠籥纮纻缊羑翃翙翚翛翯翾肸脩芃芣苧茀莀"
    "莙菂菉菶菼葴蒨蓂蔁虓螣衎褀訚詝讱谞赑跂辀迺邨郃郈郚郤鄀鄌鄏鄘鄚鄠鄩釐鈊鈜鋆鋐錡鎧鏸鑅铚锳镈镚镵"
    "闿阇雱霅霙霨霱鞮韨頫颎颙飏飔飗馡骃骉骕骦鳣鳯鹓鹔鹮鼒崑峯淩祕仚伃侴偰傒寗岠彊愷囧埗墺夆啟啓"
)
"""Of people and places, which GB 2312 lacks."""
TRADITIONAL = (
    "臺灣醫院國學榮總長庚馬紀聖瑪麗區療養濟靜東華婦幼兒產衛慶龍門環軍陽寧廣廈漢韓張陳劉趙吳鄭馮蔣許呂"
    "楊萬鄧葉蘇盧賴鍾謝譚蕭葛孫鄒潘閻羅簡黃雲嚴溫顏顧鄔鄺賈駱聯網絡個與資訊處室師護藥檢驗圖書館縣鄉鎮"
    "鄰島灣潭橋樓號義愛寶貝貴賢鳳凰鷹鵬鶴麥齊齡龜獎勵壽樂歡喜優異傑偉億俠儀儒償兩冊凱劍勝勞勢動務協單"
    "參雙啟嗎園圓團圍場塊壩夢奮妝姍娛嬌孔寬實審將專對導屆層崗嶺巖師帥帶幣庫廟廳彈強彌彎後徑從復徵徹"
    "憲應戰戶擇據擴攝數斷於時晉暢曆會條極構樞樣標樹機橫檔權歐歷歸殺氣決況測湯準滅滿漁潔澤濱濃濕瀏"
    "為烏無煉熱燈營爭爾牆狀獨獲現瑩環產畢異當發盡監盤眾確礎禮種積穩穎窮競筆節範築糧純紅約級紙紐紋納"
    "紡索細終組結絕絲給統經綠維綜綱線編緣練總績織繪繼續羅羣習聞聲職聯肅腦腫臨興舉舊艦莊華萊蓋蓮藍"
    "藝蘭虛蟲術衝裏補裝製複視規親覺覽觀計討訓記設訪診詢試詩話該詳認語誠說課調談請論諾講證識議讀變"
    "財貨費資質贊車軟較載輔輕輪輸轉辦農連進運過達遠遲選遺還邊郵鄰釋針錄錢鋼錦鍵鏡鐘鐵鑒開間閣關闊"
    "陸陰隊階際險隨難電靈韻響項順預領頭題願類顯飛飯飲館駐驗體髮鬥魚鮮鳥鳴麗點黨"
)
"""Of hospitals and people who write them so."""


def kept() -> set[int]:
    """The characters that are kept."""
    ranges = {code for start, end in RANGES for code in range(start, end)}
    return ranges | set(gb2312()) | set(map(ord, NAMES + TRADITIONAL))


def gb2312() -> list[int]:
    """Signs, kana and the 6,763 Han characters of GB 2312."""
    return [code for code in range(0x80, 0x10000) if _encodes(code)]


def _encodes(code: int) -> bool:
    try:
        return bool(chr(code).encode("gb2312"))
    except UnicodeEncodeError:
        return False


def part_of(original: bytes) -> TTFont:
    """The original without other characters, features, hints and what sets lines upright."""
    options = subset.Options()
    options.desubroutinize = True
    options.hinting = False
    options.glyph_names = False
    options.layout_features = []
    options.name_IDs = options.name_languages = ["*"]
    options.notdef_outline = True
    options.drop_tables += ["BASE", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]
    font = TTFont(io.BytesIO(original), recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=kept())
    subsetter.subset(font)
    return font


def make_quadratic(font: TTFont) -> None:
    """Replace a font's cubic outlines."""
    order, drawn = font.getGlyphOrder(), font.getGlyphSet()
    outlines = {}
    for name in order:
        pen = TTGlyphPen(drawn)
        drawn[name].draw(Cu2QuPen(pen, FARTHEST, reverse_direction=True))
        outlines[name] = pen.glyph()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = order, outlines
    for name, outline in outlines.items():
        outline.recalcBounds(font["glyf"])
        font["hmtx"][name] = (font["hmtx"][name][0], getattr(outline, "xMin", 0))
    limits = font["maxp"]
    limits.tableVersion = 0x00010000
    for limit in (
        *("maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs"),
        *("maxStackElements", "maxSizeOfInstructions", "maxComponentElements"),
        *("maxPoints", "maxContours", "maxCompositePoints", "maxCompositeContours"),
        "maxComponentDepth",
    ):
        setattr(limits, limit, 0)  # of outlines they are counted when it is written
    limits.maxZones = 1
    font["post"].formatType = 3.0
    del font["CFF "]
    font.sfntVersion = "\x00\x01\x00\x00"


def main() -> int:
    """Make the font of the original that is named."""
    original = Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(original).hexdigest() != ORIGINAL:
        print("This is not NotoSansCJKsc-Regular.otf 1.004; this script's first lines say more.")
        return 1
    font = part_of(original)
    make_quadratic(font)
    font.save(FILE)
    print(f"{FILE.name}: {len(font.getGlyphOrder())} glyphs, {FILE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
