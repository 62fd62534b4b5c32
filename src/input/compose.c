/* Dead keys; see compose.h. */
#include "input/compose.h"

#include <xkbcommon/xkbcommon-keysyms.h>

/* pairs: UTF-8, each character followed by what the dead key makes of it. */
static const struct accent {
	uint32_t dead;
	uint16_t mark;  /* the combining character */
	uint16_t twice; /* 0: nothing */
	const char *pairs;
} accents[] = {
	{ XKB_KEY_dead_grave, 0x300, 0x0060,
		" `AÀEÈIÌNǸOÒUÙWẀYỲaàeèiìnǹoòuùwẁyỳΑᾺΕῈΗῊΙῚΟῸΥῪΩῺαὰεὲηὴιὶ"
		"οὸυὺωὼ" },
	{ XKB_KEY_dead_acute, 0x301, 0x00b4,
		" 'AÁCĆEÉGǴIÍKḰLĹMḾNŃOÓPṔRŔSŚUÚWẂYÝZŹaácćeégǵiíkḱlĺmḿnńoó"
		"pṕrŕsśuúwẃyýzźÆǼØǾæǽøǿΑΆΕΈΗΉΙΊΟΌΥΎΩΏαάεέηήιίοόυύωώ" },
	{ XKB_KEY_dead_circumflex, 0x302, 0x005e,
		" ^AÂCĈEÊGĜHĤIÎJĴOÔSŜUÛWŴYŶZẐaâcĉeêgĝhĥiîjĵoôsŝuûwŵyŷzẑ"
		"0⁰1¹2²3³4⁴5⁵6⁶7⁷8⁸9⁹" },
	{ XKB_KEY_dead_tilde, 0x303, 0x007e, " ~AÃEẼIĨNÑOÕUŨVṼYỸaãeẽiĩnñoõuũvṽyỹαᾶηῆιῖυῦωῶ" },
	{ XKB_KEY_dead_macron, 0x304, 0x00af, " ¯AĀEĒGḠIĪOŌUŪYȲaāeēgḡiīoōuūyȳÆǢæǣ" },
	{ XKB_KEY_dead_breve, 0x306, 0x02d8, " ˘AĂEĔGĞIĬOŎUŬaăeĕgğiĭoŏuŭ" },
	{ XKB_KEY_dead_abovedot, 0x307, 0x02d9,
		" ˙AȦBḂCĊDḊEĖFḞGĠHḢIİMṀNṄOȮPṖRṘSṠTṪWẆXẊYẎZŻaȧbḃcċdḋeėfḟgġ"
		"hḣmṁnṅoȯpṗrṙsṡtṫwẇxẋyẏzżLĿlŀ" },
	{ XKB_KEY_dead_diaeresis, 0x308, 0x00a8,
		" \"AÄEËHḦIÏOÖUÜWẄXẌYŸaäeëhḧiïoötẗuüwẅxẍyÿΙΪΥΫιϊυϋ" },
	{ XKB_KEY_dead_abovering, 0x30a, 0x00b0, " °AÅUŮaåuůwẘyẙ" },
	{ XKB_KEY_dead_doubleacute, 0x30b, 0x02dd, " ˝OŐUŰoőuű" },
	{ XKB_KEY_dead_caron, 0x30c, 0x02c7,
		" ˇAǍCČDĎEĚGǦHȞIǏKǨLĽNŇOǑRŘSŠTŤUǓZŽaǎcčdďeěgǧhȟiǐjǰkǩlľnň"
		"oǒrřsštťuǔzž" },
	{ XKB_KEY_dead_cedilla, 0x327, 0x00b8, " ¸CÇDḐEȨGĢHḨKĶLĻNŅRŖSŞTŢcçdḑeȩgģhḩkķlļnņrŗsştţ" },
	{ XKB_KEY_dead_ogonek, 0x328, 0x02db, " ˛AĄEĘIĮOǪUŲaąeęiįoǫuų" },
	{ XKB_KEY_dead_iota, 0x345, 0x037a, " ͺΑᾼΗῌΩῼαᾳηῃωῳ" },
	{ XKB_KEY_dead_belowdot, 0x323, 0,
		"AẠBḄDḌEẸHḤIỊKḲLḶMṂNṆOỌRṚSṢTṬUỤVṾWẈYỴZẒaạbḅdḍeẹhḥiịkḳlḷ"
		"mṃnṇoọrṛsṣtṭuụvṿwẉyỵzẓ" },
	{ XKB_KEY_dead_hook, 0x309, 0, "AẢEẺIỈOỎUỦYỶaảeẻiỉoỏuủyỷ" },
	{ XKB_KEY_dead_horn, 0x31b, 0, "OƠUƯoơuư" },
	{ XKB_KEY_dead_stroke, 0x335, 0x002f, " /BɃDĐGǤHĦIƗLŁOØTŦZƵbƀdđgǥhħiɨlłoøtŧzƶ" },
	{ XKB_KEY_dead_abovecomma, 0x313, 0, "ΑἈΕἘΗἨΙἸΟὈΩὨαἀεἐηἠιἰοὀρῤυὐωὠ" },
	{ XKB_KEY_dead_abovereversedcomma, 0x314, 0, "ΑἉΕἙΗἩΙἹΟὉΡῬΥὙΩὩαἁεἑηἡιἱοὁρῥυὑωὡ" },
	{ XKB_KEY_dead_doublegrave, 0x30f, 0, "AȀEȄIȈOȌRȐUȔaȁeȅiȉoȍrȑuȕ" },
	{ XKB_KEY_dead_belowring, 0x325, 0, "AḀaḁ" },
	{ XKB_KEY_dead_belowmacron, 0x331, 0, "BḆDḎKḴLḺNṈRṞTṮZẔbḇdḏhẖkḵlḻnṉrṟtṯzẕ" },
	{ XKB_KEY_dead_belowcircumflex, 0x32d, 0, "DḒEḘLḼNṊTṰUṶdḓeḙlḽnṋtṱuṷ" },
	{ XKB_KEY_dead_belowtilde, 0x330, 0, "EḚIḬUṴeḛiḭuṵ" },
	{ XKB_KEY_dead_belowbreve, 0x32e, 0, "HḪhḫ" },
	{ XKB_KEY_dead_belowdiaeresis, 0x324, 0, "UṲuṳ" },
	{ XKB_KEY_dead_invertedbreve, 0x311, 0, "AȂEȆIȊOȎRȒUȖaȃeȇiȋoȏrȓuȗ" },
	{ XKB_KEY_dead_belowcomma, 0x326, 0x002c, " ,SȘTȚsștț" },
};

/* The next character of well-formed UTF-8; 0 at its end. */
static uint32_t next(const char **text)
{
	const unsigned char *at = (const unsigned char *)*text;
	uint32_t character = at[0];

	if (!character)
		return 0;
	if (character < 0x80) {
		*text += 1;
		return character;
	}
	if (character < 0xe0) {
		*text += 2;
		return (character & 0x1f) << 6 | (at[1] & 0x3fu);
	}
	*text += 3;
	return (character & 0x0f) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
}

static const struct accent *find(uint32_t dead)
{
	for (size_t i = 0; i < array_size(accents); i++) {
		if (accents[i].dead == dead)
			return &accents[i];
	}
	return NULL;
}

bool compose_is_dead(uint32_t keysym)
{
	return keysym >= XKB_KEY_dead_grave && keysym <= XKB_KEY_dead_longsolidusoverlay;
}

uint32_t compose(uint32_t dead, uint32_t character)
{
	const struct accent *accent = find(dead);
	const char *pair = accent ? accent->pairs : "";
	uint32_t from, to;

	while ((from = next(&pair)) != 0) {
		to = next(&pair);
		if (from == character)
			return to;
	}
	return 0;
}

uint32_t compose_twice(uint32_t dead)
{
	const struct accent *accent = find(dead);

	return accent ? accent->twice : 0;
}

uint32_t compose_dead_of_mark(uint32_t mark)
{
	for (size_t i = 0; i < array_size(accents); i++) {
		if (accents[i].mark == mark)
			return accents[i].dead;
	}
	return 0;
}

bool compose_find(uint32_t character, unsigned index, struct compose_pair *pair)
{
	for (size_t i = 0; i < array_size(accents); i++) {
		const char *text = accents[i].pairs;
		uint32_t from;

		while ((from = next(&text)) != 0) {
			if (next(&text) != character || index--)
				continue;
			*pair = (struct compose_pair){ accents[i].dead, from };
			return true;
		}
		if (accents[i].twice == character && !index--) {
			*pair = (struct compose_pair){ accents[i].dead, 0 };
			return true;
		}
	}
	return false;
}
