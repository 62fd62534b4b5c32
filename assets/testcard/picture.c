#include "card.h"
void picture_paint(const struct card_state *state){(void)state; for(int i=0;i<(int)screen.height;i++) screen_fill(0,i,(int)screen.width,1,(uint32_t)i*0x010001);}
void picture_update(const struct card_state *state){(void)state;}
void picture_leave(void){}
